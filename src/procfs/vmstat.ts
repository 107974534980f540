/**
 * /proc/vmstat: the machine's counters and events.
 *
 * Linux: mm/vmstat.c vmstat_show.  Differs: only what something counts is shown, and no deprecated names.
 */

import { eventCounters, NODE_COUNTERS, NUMA_COUNTERS, ZONE_COUNTERS } from "./counted.ts";
import type { ProcSource } from "./source.ts";
import { zonesOf } from "./zones.ts";

export function vmstat(source: ProcSource): string {
  const { vmstat: counters } = source.pages;
  const zones = zonesOf(source, "populated");
  const numa = (item: number): number =>
    zones.reduce((sum, zone) => sum + counters.numaTotal(zone.ref, item), 0);
  const rows = [
    ...ZONE_COUNTERS.map(({ name, item }) => [name, counters.globalZoneState(item)]),
    ...NUMA_COUNTERS.map(({ name, item }) => [name, numa(item)]),
    ...NODE_COUNTERS.map(({ name, item }) => [name, counters.globalNodeState(item)]),
    ...eventCounters(source.topology).map(({ name, item }) => [name, counters.eventTotal(item)]),
  ];
  return rows.map(([name, value]) => `${name} ${value}\n`).join("");
}
