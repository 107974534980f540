/** Memory that a workload shares between its CPUs: a block of pages, zeroed. */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { FRAME_WORDS, NULL, type Pointer } from "../../memory/units.ts";
import { Gfp, GfpFlag } from "../../mm/pages/gfp.ts";

/** Room for `words` words; freed by `freeScratch`. */
export function takeScratch(kernel: Kernel, words: number): Pointer {
  const start = kernel.pages.getFreePages(Gfp.KERNEL | GfpFlag.ZERO, orderFor(words));
  if (start === NULL) bug(`the workload's own ${words} words do not fit the machine's memory`);
  return start;
}

/** Gives back what `takeScratch` gave for as many words. */
export function freeScratch(kernel: Kernel, start: Pointer, words: number): void {
  kernel.pages.freePagesAt(start, orderFor(words));
}

const orderFor = (words: number): number => Math.max(0, Math.ceil(Math.log2(words / FRAME_WORDS)));
