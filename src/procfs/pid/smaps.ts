/**
 * /proc/PID/smaps: for each mapping how much of it is there, whose else, and written or not.
 *
 * Linux: fs/proc/task_mmu.c show_smap, __show_smap, show_smap_vma_flags.  Differs: no huge pages, KSM and swap: their lines
 * are there and 0.
 */

import { VM_FLAG_LETTERS } from "../../process/vm-flags.ts";
import { meminfoLine } from "../layout.ts";
import { eachArea } from "./areas.ts";
import { plainLine } from "./layout.ts";
import { areaLine } from "./maps.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";
import { shareInKb, Usage } from "./usage.ts";

const PAGE_KB = 4;

export function smaps(source: ProcessSource, { mm }: ProcessView): string {
  const lines: string[] = [];
  const { vmas } = source.processes;
  eachArea(source, mm, (area, from) => {
    const usage = new Usage();
    usage.add(source, mm, area, from);
    const flags = vmas.flagsOf(area);
    const letters = VM_FLAG_LETTERS.filter(([flag]) => (flags & flag) !== 0).map(([, two]) => `${two} `);
    lines.push(
      areaLine(source, mm, area, from),
      meminfoLine("Size", (vmas.endOf(area) - from) / 1024),
      meminfoLine("KernelPageSize", PAGE_KB),
      meminfoLine("MMUPageSize", PAGE_KB),
      ...usageLines(usage, false),
      plainLine("THPeligible", 0),
      `VmFlags: ${letters.join("")}`,
    );
  });
  return lines.map((line) => `${line}\n`).join("");
}

/** The part that smaps_rollup has, too, with shares by kind.  Linux: __show_smap. */
export function usageLines(usage: Usage, isRollup: boolean): string[] {
  const byKind: (readonly [string, number])[] = [
    ["Pss_Anon", shareInKb(usage.pssAnon)],
    ["Pss_File", shareInKb(usage.pssFile)],
    ["Pss_Shmem", shareInKb(usage.pssShmem)],
  ];
  const rows: readonly (readonly [string, number])[] = [
    ["Rss", usage.resident / 1024],
    ["Pss", shareInKb(usage.pss)],
    ["Pss_Dirty", shareInKb(usage.pssDirty)],
    ...(isRollup ? byKind : []),
    ["Shared_Clean", usage.sharedClean / 1024],
    ["Shared_Dirty", usage.sharedDirty / 1024],
    ["Private_Clean", usage.privateClean / 1024],
    ["Private_Dirty", usage.privateDirty / 1024],
    ["Referenced", usage.referenced / 1024],
    ["Anonymous", usage.anonymous / 1024],
    ["KSM", 0],
    ["LazyFree", usage.lazyFree / 1024],
    ["AnonHugePages", 0],
    ["ShmemPmdMapped", 0],
    ["FilePmdMapped", 0],
    ["Shared_Hugetlb", 0],
    ["Private_Hugetlb", 0],
    ["Swap", 0],
    ["SwapPss", 0],
    ["Locked", shareInKb(usage.pssLocked)],
  ];
  return rows.map(([key, kilobytes]) => meminfoLine(key, kilobytes));
}
