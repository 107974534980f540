/**
 * What the workloads of page faults and mappings have in common: one address space for all CPUs or one for each, and that
 * all pages and page tables come back.
 */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import { checkSpaces } from "../../process/check-spaces.ts";
import { type MmRef, MmStruct } from "../../process/vm-area.ts";
import type { OptionDescription } from "../description.ts";
import { restingFreePages } from "./page-share.ts";
import { checkPagesBack, freeAndSlabPages } from "./pages-back.ts";

export const MODE_OPTION = {
  mode: {
    type: "choice",
    default: "thread",
    choices: ["thread", "process"],
    help: "all CPUs run in one address space, or each in its own",
  },
} as const satisfies Record<string, OptionDescription>;

/** Pages of a region, at most a thousand times this on a machine of 8 GiB. */
export const pagesOption = (pages: number): OptionDescription => ({
  type: "integer",
  default: pages,
  min: 1,
  max: 262_144,
  help: "pages of a region",
});

/** The same on every CPU: plain data. */
export interface UserSpaces {
  /** One, or one a CPU. */
  readonly mms: readonly MmRef[];
  /** Pages that were free or slabs when the address spaces were there, and empty. */
  readonly pages: number;
}

/** Empty address spaces as option `mode` says: "thread" without one. */
export function makeSpaces(kernel: Kernel, { mode = "thread" }: ProgramOptions): UserSpaces {
  const { processes, cpus } = kernel;
  processes.start();
  const mms = Array.from({ length: mode === "process" ? cpus : 1 }, () => {
    const mm = processes.spaces.make();
    if (mm === 0) bug("no memory for an address space");
    return mm;
  });
  return { mms, pages: freeAndSlabPages(kernel) };
}

/** Throws a UsageError when what all CPUs touch at once cannot be had: `regions` regions of `pages` pages each. */
export function requireRoom(kernel: Kernel, name: string, pages: number, regions: number): void {
  const most = Math.floor((restingFreePages(kernel) * 0.8) / kernel.cpus / regions);
  if (pages > most)
    throw new UsageError(
      `${name}: option pages: ${pages} is not valid on ${kernel.cpus} CPUs with this memory; valid are 1 to ${most}`,
    );
}

export function nameSpaces({ regions }: Kernel, { mms }: UserSpaces): void {
  for (const [i, mm] of mms.entries()) regions.add(mms.length > 1 ? `mm${i}` : "mm", mm, MmStruct);
}

/** Nothing is left of what was mapped; ends the address spaces. */
export function endSpaces(kernel: Kernel, { mms, pages }: UserSpaces): void {
  checkSpaces(kernel);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  checkPagesBack(kernel, pages);
  for (const mm of mms) kernel.processes.spaces.put(mm);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  checkSpaces(kernel);
}
