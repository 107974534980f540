/** vmalloc-mix with a defect: a page's frame is overwritten behind the mapping, or an area is never freed. */

import { entryPfn } from "../../../src/hardware/page-table-entry.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { frameOf } from "../../../src/memory/units.ts";
import * as mix from "../../../src/workloads/vmalloc-mix.ts";

const OPTIONS = { case: "fix_size_alloc", loops: 3, pages: 2, kept: 0, lazy: 0, stamp: true };

export const setup = (kernel: Kernel): unknown => mix.setup(kernel, OPTIONS);

export function run(kernel: Kernel, { how }: ProgramOptions): unknown {
  const { vmap, memory } = kernel;
  if (how === "leak") vmap.vmalloc(1);
  const { virtual } = kernel;
  const { write } = virtual;
  let writes = 0;
  virtual.write = (address, value) => {
    write.call(virtual, address, value);
    // The third write is the first of the second page.
    if (how !== "stamp" || ++writes !== 3) return;
    const entry = vmap.tables.leafEntry(address);
    memory.write(frameOf(entryPfn(memory.read(entry), memory.read(entry + 1))), 7);
  };
  try {
    return mix.run(kernel, OPTIONS);
  } finally {
    virtual.write = write;
  }
}

export const check = (
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void => mix.check(kernel, OPTIONS, values, shared);
