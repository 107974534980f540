/** What `numactl --hardware` prints: nodes, their CPUs and memory, distances.  numactl.c hardware(). */

import { PAGE_BYTES } from "../memory/units.ts";
import { ZoneStat } from "../mm/pages/counters.ts";
import { Zone } from "../mm/pages/zone.ts";
import type { ProcSource } from "./source.ts";
import { type ProcZone, zonesOf } from "./zones.ts";

export function numactl(source: ProcSource): string {
  const { topology, pages } = source;
  const { memory } = pages.frames;
  const nodes = Array.from({ length: topology.nodes }, (_, node) => node);
  const zones = zonesOf(source, "populated");
  const megabytes = (node: number, pagesOf: (zone: ProcZone) => number): number => {
    const sum = zones.reduce((total, zone) => total + (zone.node === node ? pagesOf(zone) : 0), 0);
    return Math.floor((sum * PAGE_BYTES) / 2 ** 20);
  };
  const wide = (n: number): string => `${String(n).padStart(3)} `;
  const lines = [
    `available: ${nodes.length} nodes (${nodes.length > 1 ? `0-${nodes.length - 1}` : "0"})`,
    ...nodes.flatMap((node) => [
      `node ${node} cpus:${topology.nodeCpus[node].map((cpu) => ` ${cpu}`).join("")}`,
      `node ${node} size: ${megabytes(node, ({ ref }) => memory.read(ref + Zone.managedPages))} MB`,
      `node ${node} free: ${megabytes(node, ({ ref }) => pages.vmstat.zoneState(ref, ZoneStat.nr_free_pages))} MB`,
    ]),
    "node distances:",
    `node ${nodes.map(wide).join("")}`,
    ...nodes.map((from) => `${String(from).padStart(3)}: ${topology.distances[from].map(wide).join("")}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
