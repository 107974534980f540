/**
 * The counters that something counts.  A report shows these and no others: a zero of a subsystem that is not there would
 * be invented.  A subsystem that begins to count adds its names here; a test finds those that are missing.
 */

import type { Topology } from "../hardware/topology.ts";
import {
  NODE_STAT_NAMES,
  NUMA_STAT_NAMES,
  VM_EVENT_NAMES,
  VmEvent,
  ZONE_STAT_NAMES,
} from "../mm/pages/counters.ts";
import { configuredZones } from "./zones.ts";

export const COUNTED: ReadonlySet<string> = new Set([
  "nr_free_pages",
  "nr_free_cma",
  "nr_page_table_pages",
  "nr_slab_reclaimable",
  "nr_slab_unreclaimable",
  "nr_kernel_stack",
  "nr_anon_pages",
  "nr_mapped",
  "nr_file_pages",
  "nr_mlock",
  "nr_zone_unevictable",
  "nr_unevictable",
  "unevictable_pgs_culled",
  "unevictable_pgs_rescued",
  "unevictable_pgs_mlocked",
  "unevictable_pgs_munlocked",
  "unevictable_pgs_cleared",
  "nr_dirty",
  "nr_shmem",
  "nr_dirtied",
  "nr_written",
  "nr_zone_write_pending",
  "numa_hit",
  "numa_miss",
  "numa_foreign",
  "numa_interleave",
  "numa_local",
  "numa_other",
  "pgalloc_dma",
  "pgalloc_dma32",
  "pgalloc_normal",
  "pgalloc_high",
  "pgalloc_movable",
  "pgalloc_device",
  "pgfree",
  "pgfault",
  "pgmajfault",
  "pglazyfree",
  "pglazyfreed",
  "pgreuse",
  "nr_tlb_remote_flush",
  "nr_tlb_remote_flush_received",
  "nr_tlb_local_flush_all",
  "nr_tlb_local_flush_one",
  "vma_lock_success",
  "vma_lock_abort",
  "vma_lock_retry",
  "vma_lock_miss",
]);

/** A counter that reports show. */
export interface Counter {
  readonly name: string;
  readonly item: number;
}

function counted(names: readonly string[]): readonly Counter[] {
  return names.map((name, item) => ({ name, item })).filter(({ name }) => COUNTED.has(name));
}

export const ZONE_COUNTERS = counted(ZONE_STAT_NAMES);
export const NUMA_COUNTERS = counted(NUMA_STAT_NAMES);
export const NODE_COUNTERS = counted(NODE_STAT_NAMES);
const EVENTS = counted(VM_EVENT_NAMES);
/** Events that are counted by zone: each begins six, one for each zone index. */
const BY_ZONE = [VmEvent.pgalloc_dma, VmEvent.allocstall_dma, VmEvent.pgskip_dma];
const ZONES_COUNTED = 6;

/** Events, without those of zones that this machine's kind of kernel does not have. */
export function eventCounters(topology: Topology): readonly Counter[] {
  const zones = configuredZones(topology);
  return EVENTS.filter(({ item }) => {
    const first = BY_ZONE.find((begin) => item >= begin && item < begin + ZONES_COUNTED);
    return first === undefined || zones.includes(item - first);
  });
}
