/**
 * The host's own files of /proc, and where a report of ours has a key that a host's file may lack.
 */

import { readFileSync } from "node:fs";

/** The text, or null when this host has no such file or keeps it from us. */
export function hostFile(name: string): string | null {
  try {
    return readFileSync(`/proc/${name}`, "utf8");
  } catch {
    console.log(`this host shows no /proc/${name}: only our own report is read`);
    return null;
  }
}

/** Why a host's file may lack a key that ours has. */
const MAY_LACK: readonly (readonly [report: string, key: RegExp, reason: string])[] = [
  ["interrupts", /^RCU$/, "Linux asks for quiescent states by function calls and rescheduling"],
  ["interrupts", /^US[01]$/, "vectors for kernel modules of the simulated machine"],
  ["interrupts", /^(LOC|RES|CAL)$/, "labels of x86"],
  ["pagetypeinfo", /^CMA$/, "a kernel without CONFIG_CMA"],
  ["meminfo", /^(High|Low)(Total|Free)$/, "a 64-bit kernel has no HIGHMEM"],
  ["meminfo", /^Percpu$/, "before 4.20"],
  ["vmstat", /^nr_tlb_/, "a kernel without CONFIG_DEBUG_TLBFLUSH"],
  ["vmstat", /^vma_lock_/, "a kernel without CONFIG_PER_VMA_LOCK_STATS"],
  ["vmstat", /^numa_/, "a kernel without CONFIG_NUMA"],
  ["vmstat", /^pgalloc_(dma|dma32|high)$/, "an architecture without that zone"],
  ["smaps", /^(Pss_Dirty|KSM)$/, "before 6.0 and 6.7"],
  ["smaps_rollup", /^(Pss_Dirty|KSM)$/, "before 6.0 and 6.7"],
  ["status", /^(Kthread|untag_mask)$/, "before 6.10 and 6.4"],
  ["zoneinfo", /^numa_/, "a kernel without CONFIG_NUMA"],
  ["zoneinfo", /^(boost|promo|cma)$/, "before 5.11, 6.1 and 5.11"],
  ["zoneinfo", /^high_(min|max)$/, "before 6.7"],
];

/** Fails unless each of `ours` is among `theirs` and in the same order; keys that a host may lack may be missing. */
export function compareKeys(report: string, ours: readonly string[], theirs: readonly string[]): void {
  const places = new Map(theirs.map((key, i) => [key, i]));
  let last = -1;
  for (const key of ours) {
    const place = places.get(key);
    if (place === undefined) {
      if (MAY_LACK.some(([name, keys]) => name === report && keys.test(key))) continue;
      throw new Error(`${report}: the host has no ${key}`);
    }
    if (place <= last)
      throw new Error(`${report}: ${key} comes after ${theirs[last]}, on the host before it`);
    last = place;
  }
}
