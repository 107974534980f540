/** page-stress with a planted defect on CPU 1 (option `how`), to see that it is noticed. */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { frameOf, type Pfn } from "../../../src/memory/units.ts";
import * as stress from "../../../src/workloads/page-stress.ts";

const OPTIONS = { fraction: 0.5, order: 3, drains: 5 };
const EVERY = 20;

export const setup = (kernel: Kernel): unknown => stress.setup(kernel, OPTIONS);

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): unknown {
  const { pages } = kernel;
  const allocPages = pages.allocPages.bind(pages);
  const freePages = pages.freePages.bind(pages);
  let calls = 0;
  let frees = 0;
  let last: Pfn = 0;
  if (kernel.cpu.id === 1) {
    pages.allocPages = (gfp, order) => {
      const isTurn = ++calls % EVERY === 0;
      if (options.how === "twice" && isTurn && last !== 0 && order === 0) return last;
      const pfn = allocPages(gfp, order);
      if (order === 0) last = pfn;
      if (options.how === "scribble" && isTurn && last !== 0) kernel.memory.write(frameOf(last) + 1, 0);
      return pfn;
    };
    pages.freePages = (pfn, order) => {
      if (pfn === last) last = 0;
      if (options.how === "lost" && ++frees === EVERY) return;
      freePages(pfn, order);
    };
  }
  return stress.run(kernel, OPTIONS, shared);
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  stress.check(kernel, OPTIONS, values, shared);
}
