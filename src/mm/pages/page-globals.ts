/**
 * Machine-wide words of the page allocator: where its arrays lie, its tunables, the totals of its counters.
 *
 * Linux: max_pfn, mem_map, vm_zone_stat[], vm_node_stat[], and the sysctls under /proc/sys/vm.
 */

import { array, embed, float64, pad, struct, word } from "../../memory/struct.ts";

import { SpinLock } from "../../sync/spinlock-layout.ts";
import { NODE_STAT_NAMES, ZONE_STAT_NAMES } from "./counters.ts";
import { ZONE_INDEXES } from "./zone-index.ts";

export const PageGlobals = struct("page_globals", {
  memMap: word("boot", "pointer:page"),
  /** First frame past the last. */
  maxPfn: word("boot", "pfn"),
  /** Zone array: ZONE_SLOTS a node. */
  zones: word("boot", "pointer:zone"),
  nodes: word("boot", "pointer:pg_data"),
  nodeCount: word("boot", "counter"),
  /** One `pageblock` for each PAGEBLOCK_PAGES frames, from frame 0. */
  pageblocks: word("boot", "pointer:pageblock"),
  /** vm_event_state of CPU 0. */
  events: word("boot", "pointer:vm_event_state"),
  /** Words from one CPU's per-CPU area to the next. */
  perCpuUnitWords: word("boot"),
  /** The same for a zone's page lists and counters, which without padding lie in an array of their own. */
  zonePartWords: word("boot"),
  /** CPUs that have per-CPU areas, housekeeping ones included. */
  perCpuUnits: word("boot", "counter"),
  /** Too small a machine to group pages by mobility: every allocation is UNMOVABLE. */
  groupByMobilityDisabled: word("boot", "flags"),

  minFreeKbytes: word("hint:zone.lock", "counter"),
  /** In 1/10000 of a zone. */
  watermarkScaleFactor: word("hint:zone.lock"),
  /** In 1/10000 of the high mark; 0 switches boosting off. */
  watermarkBoostFactor: word("hint:zone.lock"),
  /** 0: page lists tune their length themselves. */
  percpuPagelistHighFraction: word("hint:pcp_batch_high_lock"),
  /** Set by hand, for machines that stand for a larger one; 0: by the formulas. */
  pcpBatch: word("hint:pcp_batch_high_lock"),
  pcpHigh: word("hint:pcp_batch_high_lock"),
  lowmemReserveRatio: array(ZONE_INDEXES, "hint:zone.lock"),
  totalRamPages: word("hint:atomic", "counter"),
  totalReservePages: word("hint:zone.lock", "counter"),

  /** Allocation-failure reports: at most ten in five seconds. */
  lineWarn: pad(),
  warnBeginNs: float64("lock:warn_ratelimit"),
  warnLock: word("atomic"),
  warnPrinted: word("lock:warn_ratelimit", "counter"),
  warnMissed: word("lock:warn_ratelimit", "counter"),

  lineDrain: pad(),
  /** A spinlock: one CPU at a time drains all page lists. */
  drainLock: embed(SpinLock, "atomic"),
  /** A spinlock: one out-of-memory decision at a time. */
  oomLock: embed(SpinLock, "atomic"),

  lineTotals: pad(),
  zoneStat: array(ZONE_STAT_NAMES.length, "hint:atomic", "counter"),
  nodeStat: array(NODE_STAT_NAMES.length, "hint:atomic", "counter"),
});

/** What a pageblock's free pages are for, and what compaction knows of it. */
export const Pageblock = struct("pageblock", {
  /** Migrate type in the low bits; PAGEBLOCK_SKIP. */
  flags: word("hint:zone.lock", "flags"),
});
/** The migrate type in `pageblock.flags`. */
export const PAGEBLOCK_TYPE_MASK = 7;
/** Compaction found nothing to move here. */
export const PAGEBLOCK_SKIP = 8;
