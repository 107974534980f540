/**
 * What the TLBs have done since boot, a column each CPU, and how much memory one of them can know at once.
 *
 * Linux has no such file: `perf stat -e dTLB-loads,dTLB-load-misses,page-faults` counts the like on real hardware, and the flushes are
 * the machine's totals in /proc/vmstat and the row TLB of /proc/interrupts.
 */

import { type TlbGeometry, tlbGeometry } from "../hardware/tlb-geometry.ts";
import { shape } from "../memory/shape.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import type { ProcSource } from "./source.ts";

const LABEL_WIDTH = 30;
const CELL_WIDTH = 12;
const KIB = 1024;
const LARGE_BYTES = 512 * PAGE_BYTES;

export function tlb({ cpu, topology, pages }: ProcSource): string {
  const cpus = Array.from({ length: topology.cpus }, (_, id) => id);
  const counts = cpus.map((id) => cpu.tlb.of(id).counts);
  const events = (item: number): number[] => cpus.map((id) => pages.vmstat.eventOf(id, item));
  const line = (label: string, cells: readonly (number | string)[]): string =>
    `${label.padEnd(LABEL_WIDTH)}${cells.map((cell) => String(cell).padStart(CELL_WIDTH)).join("")}\n`;
  const rate = (hits: number, walks: number): string =>
    hits + walks === 0 ? "-" : `${((100 * hits) / (hits + walks)).toFixed(2)} %`;
  return [
    line(
      "",
      cpus.map((id) => `CPU${id}`),
    ),
    line(
      "hits, first level",
      counts.map((c) => c.hits),
    ),
    line(
      "hits, first level, large pages",
      counts.map((c) => c.largeHits),
    ),
    line(
      "hits, second level",
      counts.map((c) => c.sharedHits),
    ),
    line(
      "misses: page walks",
      counts.map((c) => c.walks),
    ),
    line(
      "hit rate",
      counts.map((c) => rate(c.hits + c.largeHits + c.sharedHits, c.walks)),
    ),
    line(
      "walks from a known page table",
      counts.map((c) => c.walkCacheHits),
    ),
    line(
      "accesses that faulted",
      counts.map((c) => c.faults),
    ),
    line("page faults of programs", events(VmEvent.pgfault)),
    line(
      "single pages forgotten",
      counts.map((c) => c.flushesPage),
    ),
    line(
      "flushes of everything",
      counts.map((c) => c.flushesAll),
    ),
    line("shootdowns sent", events(VmEvent.nr_tlb_remote_flush)),
    line("shootdowns received", events(VmEvent.nr_tlb_remote_flush_received)),
    line(
      "broadcasts sent",
      counts.map((c) => c.broadcasts),
    ),
    "\n",
    reach(tlbGeometry(shape.mode)),
  ].join("");
}

/** How much memory a full TLB translates without a walk. */
function reach({ small, large, shared }: TlbGeometry): string {
  const line = (name: string, entries: number, sizes: readonly (readonly [string, number])[]): string =>
    `${name}: ${entries} entries, ${sizes.map(([label, bytes]) => `${size(entries * bytes)} in pages of ${label}`).join(", ")}\n`;
  return [
    "reach\n",
    line("  first level", small.sets * small.ways, [["4 KiB", PAGE_BYTES]]),
    line("  first level, large pages", large.sets * large.ways, [["2 MiB", LARGE_BYTES]]),
    line("  second level", shared.sets * shared.ways, [
      ["4 KiB", PAGE_BYTES],
      ["2 MiB", LARGE_BYTES],
    ]),
  ].join("");
}

function size(bytes: number): string {
  const units = ["KiB", "MiB", "GiB"];
  let value = bytes / KIB;
  let unit = 0;
  while (value >= KIB && unit < units.length - 1) {
    value /= KIB;
    unit++;
  }
  return `${value} ${units[unit]}`;
}
