/** slab-remote with a planted defect on CPU 1 (option `how`), to see that it is noticed. */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { resolveOptions } from "../../../src/workloads/description.ts";
import * as remote from "../../../src/workloads/slab-remote.ts";

const OPTIONS = resolveOptions(remote.describe, { stamp: true, size: 64, batch: 4 });
const LAST_WORD = 15;
/** The operation that goes wrong. */
const TURN = 50;

export const setup = (kernel: Kernel): unknown => remote.setup(kernel, OPTIONS);

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): unknown {
  const { memory, slabs } = kernel;
  const alloc = slabs.alloc.bind(slabs);
  const free = slabs.free.bind(slabs);
  let [allocs, frees, last] = [0, 0, 0];
  if (kernel.cpu.id === 1) {
    slabs.alloc = (cache, gfp) => {
      const isTurn = ++allocs % TURN === 0;
      if (options.how === "twice" && isTurn && last !== 0) return last;
      if (options.how === "scribble" && isTurn && last !== 0) memory.write(last + LAST_WORD, 77);
      last = alloc(cache, gfp);
      return last;
    };
    slabs.free = (cache, object) => {
      if (options.how !== "lost" || ++frees !== TURN) free(cache, object);
    };
  }
  return remote.run(kernel, OPTIONS, shared);
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  remote.check(kernel, OPTIONS, values, shared);
}
