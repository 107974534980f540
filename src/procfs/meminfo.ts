/**
 * /proc/meminfo: memory in kilobytes, as far as there is something to count.
 *
 * Linux: fs/proc/meminfo.c meminfo_proc_show; mm/show_mem.c si_mem_available, si_meminfo; mm/percpu.c pcpu_nr_pages.
 * Differs: nothing of page cache and slab is reclaimed, so MemAvailable is what is free above the reserves; KReclaimable has no
 * other part than slabs.
 */

import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { NodeStat, ZoneStat } from "../mm/pages/counters.ts";
import { PageGlobals } from "../mm/pages/page-globals.ts";
import { Zone } from "../mm/pages/zone.ts";
import { ZoneIndex } from "../mm/pages/zone-index.ts";
import { vmallocBytes } from "../mm/vmap/vmalloc-space.ts";
import { VmapGlobals } from "../mm/vmap/vmap-globals.ts";
import { meminfoLine } from "./layout.ts";
import type { ProcSource } from "./source.ts";
import { configuredZones, zonesOf } from "./zones.ts";

const KILOBYTES = PAGE_BYTES / 1024;

export function meminfo(source: ProcSource): string {
  const { frames, vmstat } = source.pages;
  const { memory, globals } = frames;
  const total = memory.read(globals + PageGlobals.totalRamPages);
  const free = vmstat.globalZoneState(ZoneStat.nr_free_pages);
  const reserved = memory.read(globals + PageGlobals.totalReservePages);
  const rows: (readonly [key: string, pages: number])[] = [
    ["MemTotal", total],
    ["MemFree", free],
    ["MemAvailable", Math.max(0, free - reserved)],
    ["Unevictable", vmstat.globalNodeState(NodeStat.nr_unevictable)],
    ["Mlocked", vmstat.globalZoneState(ZoneStat.nr_mlock)],
    ...highRows(source, total, free),
    ["Dirty", vmstat.globalNodeState(NodeStat.nr_dirty)],
    ...slabRows(source),
    // Counted in kilobytes.
    ["KernelStack", vmstat.globalNodeState(NodeStat.nr_kernel_stack) / KILOBYTES],
    ...commitRows(source),
    ...vmallocRows(source, total),
    ["Percpu", perCpuPages(source)],
  ];
  return rows.map(([key, pages]) => `${meminfoLine(key, pages * KILOBYTES)}\n`).join("");
}

/** Pages of slabs and of large kmalloc blocks. */
function slabRows({ pages: { vmstat } }: ProcSource): (readonly [string, number])[] {
  const reclaimable = vmstat.globalNodeState(NodeStat.nr_slab_reclaimable);
  const unreclaimable = vmstat.globalNodeState(NodeStat.nr_slab_unreclaimable);
  return [
    ["KReclaimable", reclaimable],
    ["Slab", reclaimable + unreclaimable],
    ["SReclaimable", reclaimable],
    ["SUnreclaim", unreclaimable],
  ];
}

/** What mode 2 of vm.overcommit_memory would allow, and what is promised. */
function commitRows({ processes }: ProcSource): (readonly [string, number])[] {
  if (processes === null) return [];
  const { accounting } = processes;
  return [
    ["CommitLimit", accounting.limitPages],
    ["Committed_AS", accounting.isReady ? accounting.committedPages : 0],
  ];
}

/** The range, which ends a byte early, as Linux's does; what is in it; and a number that is always 0. */
function vmallocRows({ vmap }: ProcSource, total: number): (readonly [string, number])[] {
  if (vmap === null) return [];
  const rangePages = (vmallocBytes(total) - 1024) / PAGE_BYTES;
  const { memory, globals } = vmap.space;
  return [
    ["VmallocTotal", rangePages],
    ["VmallocUsed", memory.read(globals + VmapGlobals.vmallocPages)],
    ["VmallocChunk", 0],
  ];
}

/** Memory beyond the direct map, on machines that have such a zone. */
function highRows(source: ProcSource, total: number, free: number): (readonly [string, number])[] {
  const { memory } = source.pages.frames;
  if (!configuredZones(source.topology).includes(ZoneIndex.HIGHMEM)) return [];
  // MOVABLE is made of the highest zone, which is HIGHMEM where there is some.
  const all = zonesOf(source, "populated");
  const hasHigh = all.some(({ index }) => index === ZoneIndex.HIGHMEM);
  const high = all.filter(
    ({ index }) => index === ZoneIndex.HIGHMEM || (hasHigh && index === ZoneIndex.MOVABLE),
  );
  const highTotal = high.reduce((sum, { ref }) => sum + memory.read(ref + Zone.managedPages), 0);
  const highFree = high.reduce(
    (sum, { ref }) => sum + source.pages.vmstat.zoneState(ref, ZoneStat.nr_free_pages),
    0,
  );
  return [
    ["HighTotal", highTotal],
    ["HighFree", highFree],
    ["LowTotal", total - highTotal],
    ["LowFree", free - highFree],
  ];
}

/** Populated pages of all CPUs' units. */
function perCpuPages({ record, topology, perCpuChunks }: ProcSource): number {
  if (perCpuChunks !== null) return perCpuChunks.nrPages;
  const words = record.perCpuWords + record.reservedWords + record.dynamicWords;
  return Math.floor((words * WORD_BYTES) / PAGE_BYTES) * topology.possibleCpus;
}
