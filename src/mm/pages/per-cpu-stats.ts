/**
 * The per-CPU halves of the counters: deltas that are folded into zones and nodes, and events that never are.
 *
 * Linux: include/linux/mmzone.h struct per_cpu_zonestat, per_cpu_nodestat; include/linux/vmstat.h vm_event_state.
 */

import { array, float64, pad, struct, word, wordsIn } from "../../memory/struct.ts";
import { NODE_STAT_NAMES, NUMA_STAT_NAMES, VM_EVENT_NAMES, ZONE_STAT_NAMES } from "./counters.ts";

/** Per-CPU half of a zone's counters. */
export const PerCpuZonestat = struct("per_cpu_zonestat", {
  statThreshold: word("hint:atomic"),
  diff: array(ZONE_STAT_NAMES.length, "hint:owner-cpu", "counter"),
  /** Never folded: reports add the CPUs. */
  numaEvent: array(2 * NUMA_STAT_NAMES.length, "hint:owner-cpu", "counter"),
  end: pad(),
});
export const ZONESTAT_WORDS = wordsIn(PerCpuZonestat);

/** Per-CPU half of a node's counters. */
export const PerCpuNodestat = struct("per_cpu_nodestat", {
  statThreshold: word("hint:atomic"),
  diff: array(NODE_STAT_NAMES.length, "hint:owner-cpu", "counter"),
  end: pad(),
});
export const NODESTAT_WORDS = wordsIn(PerCpuNodestat);

/** The low word of an event counter stays below this. */
export const EVENT_CARRY = 2 ** 30;

/** Events of one CPU, never folded: reports add the CPUs. */
export const VmEventState = struct("vm_event_state", {
  /** Two words each: what is below EVENT_CARRY, and how often it was passed.  Whole words cost a third of a float64. */
  event: array(2 * VM_EVENT_NAMES.length, "hint:owner-cpu", "counter"),
  /** When this CPU next folds its deltas. */
  nextUpdateNs: float64("owner-cpu"),
});
