/**
 * What the workloads of page faults and mappings have in common: one address space for all CPUs or one for each, and that
 * all pages and page tables come back.
 */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { TASK_SIZE } from "../../process/address-spaces.ts";
import { checkSpaces } from "../../process/check-spaces.ts";
import type { FileRef } from "../../process/file-layout.ts";
import { MapFlag } from "../../process/mmap.ts";
import { type MmRef, MmStruct } from "../../process/vm-area.ts";
import { Prot } from "../../process/vm-flags.ts";
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
  /** In each the address of a page that stays. */
  readonly libraries: readonly number[];
  /** Memory files: one a CPU, or as many as were asked for. */
  readonly files: readonly FileRef[];
  /** Pages that were free or slabs when the address spaces were there, and empty. */
  readonly pages: number;
}

/** How many, where it is not what option `mode` says: one or one a CPU, and no files. */
export interface SpaceCounts {
  readonly count?: number;
  readonly files?: number;
  /** All of them holes. */
  readonly filePages?: number;
}

/** Empty address spaces as option `mode` says, "thread" without one. */
export function makeSpaces(
  kernel: Kernel,
  { mode = "thread" }: ProgramOptions,
  { count, files = 0, filePages = 0 }: SpaceCounts = {},
): UserSpaces {
  const { processes, cpus } = kernel;
  processes.start();
  const mms = Array.from({ length: count ?? (mode === "process" ? cpus : 1) }, () => {
    const mm = processes.spaces.make();
    if (mm === 0) bug("no memory for an address space");
    return mm;
  });
  const made = Array.from({ length: files }, () => makeFile(kernel, filePages));
  const pages = freeAndSlabPages(kernel);
  const libraries = mms.map((mm) => mapLibrary(kernel, mm));
  return { mms, libraries, files: made, pages };
}

/** A memory file of so many holes. */
function makeFile({ processes }: Kernel, pages: number): FileRef {
  const { shmem } = processes;
  const file = shmem.create();
  if (file === 0 || shmem.truncate(file, pages * PAGE_BYTES) !== 0) bug("no memory for a file");
  return file;
}

/**
 * A page that stays, above where mappings are placed: in a real process libraries are there, and so page tables do not
 * come and go with every region.
 */
function mapLibrary({ processes }: Kernel, mm: MmRef): number {
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.POPULATE;
  const request = { address: 0, bytes: PAGE_BYTES, prot: Prot.READ, flags, file: null, offset: 0 };
  const start = processes.calls.mmap(mm, request);
  if (start < 0) bug(`mmap of a page gives ${start}`);
  return start;
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

/** Checks what is mapped, and unmaps all of it. */
export function emptySpaces(kernel: Kernel, { mms }: Pick<UserSpaces, "mms">): void {
  checkSpaces(kernel);
  for (const mm of mms) {
    const result = kernel.processes.calls.munmap(mm, 0, TASK_SIZE);
    if (result !== 0) bug(`munmap of everything gives ${result}`);
  }
}

/** Nothing is left of what was mapped; ends the files and the address spaces. */
export function endSpaces(kernel: Kernel, { mms, libraries, files, pages }: UserSpaces): void {
  checkSpaces(kernel);
  for (const [i, mm] of mms.entries()) kernel.processes.calls.munmap(mm, libraries[i], PAGE_BYTES);
  for (const file of files) kernel.processes.files.put(file);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  checkPagesBack(kernel, pages);
  for (const mm of mms) kernel.processes.spaces.put(mm);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  checkSpaces(kernel);
}
