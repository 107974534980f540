/**
 * What must hold for zones and zonelists, whatever runs.
 *
 * Invariants
 *   Z1  managed pages <= present pages <= spanned pages
 *   Z2  the marks ascend: min <= low <= high <= promo
 *   Z3  a zone keeps nothing from allocations of its own kind or of lower ones, and never less from higher ones
 *   Z4  a node's fallback list has every populated zone once, each node's from the highest down, its own node's first
 *       if it has any; its other list has its own zones alone
 *   Z5  a zone's per-CPU parts are the ones that the image declares for it
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { Node, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../pages/node.ts";
import { Watermark, Zone, type ZoneRef } from "../pages/zone.ts";
import { ZONE_INDEXES, ZONE_NAMES } from "../pages/zone-index.ts";
import type { MmImage } from "./mm-image.ts";

/** Tests Z1 to Z5, at rest. */
export function checkZones(memory: Memory, mm: MmImage): void {
  for (const { node, index, position } of mm.populated) {
    const zone = mm.zoneAt(node, index);
    const name = `node ${node} zone ${ZONE_NAMES[index]}`;
    checkSizes(memory, zone, name);
    checkMarks(memory, zone, name);
    checkReserves(memory, zone, index, name);
    checkPerCpu(memory, zone, name, [mm.pagesets.at(position), mm.zonestats.at(position)]);
  }
  for (const { id } of mm.plan.zones.nodes) {
    const own = mm.populated.filter((zone) => zone.node === id);
    checkList(
      memory,
      mm,
      mm.nodes.at(id) + Node.fallback,
      `fallback list of node ${id}`,
      mm.populated.length,
    );
    checkList(memory, mm, mm.nodes.at(id) + Node.noFallback, `own list of node ${id}`, own.length);
    for (const list of own.length === 0 ? [] : [Node.fallback, Node.noFallback]) {
      const first = memory.read(mm.nodes.at(id) + list + ZonelistEntry.zone);
      const nodeOfFirst = memory.read(first + Zone.node);
      if (nodeOfFirst !== id) bug(`Z4 a list of node ${id} begins with a zone of node ${nodeOfFirst}`);
    }
  }
}

function checkSizes(memory: Memory, zone: ZoneRef, name: string): void {
  const managed = memory.read(zone + Zone.managedPages);
  const present = memory.read(zone + Zone.presentPages);
  const spanned = memory.read(zone + Zone.spannedPages);
  if (managed > present || present > spanned)
    bug(`Z1 ${name}: ${managed} managed, ${present} present, ${spanned} spanned pages`);
}

function checkMarks(memory: Memory, zone: ZoneRef, name: string): void {
  const marks = [Watermark.MIN, Watermark.LOW, Watermark.HIGH, Watermark.PROMO].map((which) =>
    memory.read(zone + Zone.watermark + which),
  );
  if (marks.some((mark, i) => i > 0 && mark < marks[i - 1])) bug(`Z2 ${name}: marks ${marks.join(", ")}`);
}

function checkReserves(memory: Memory, zone: ZoneRef, index: number, name: string): void {
  let before = 0;
  for (let highest = 0; highest < ZONE_INDEXES; highest++) {
    const reserve = memory.read(zone + Zone.lowmemReserve + highest);
    if (highest <= index && reserve !== 0)
      bug(`Z3 ${name}: keeps ${reserve} pages from allocations of zone ${ZONE_NAMES[highest]}`);
    if (reserve < before)
      bug(`Z3 ${name}: keeps ${reserve} pages from zone ${ZONE_NAMES[highest]}, ${before} from a lower one`);
    before = reserve;
  }
}

function checkPerCpu(memory: Memory, zone: ZoneRef, name: string, [pageset, zonestats]: Pointer[]): void {
  const found = memory.read(zone + Zone.pageset);
  if (found !== pageset) bug(`Z5 ${name}: pageset at ${found}, declared at ${pageset}`);
  const stats = memory.read(zone + Zone.zonestats);
  if (stats !== zonestats) bug(`Z5 ${name}: zonestats at ${stats}, declared at ${zonestats}`);
}

function checkList(memory: Memory, mm: MmImage, list: Pointer, name: string, expected: number): void {
  const seen = new Set<ZoneRef>();
  let previous = -1;
  let previousIndex = ZONE_INDEXES;
  for (let at = list; ; at += ZONELIST_ENTRY_WORDS) {
    const zone = memory.read(at + ZonelistEntry.zone);
    if (zone === 0) break;
    const place = mm.populated.find((p) => mm.zoneAt(p.node, p.index) === zone);
    if (place === undefined) bug(`Z4 ${name}: entry ${seen.size} is no populated zone (${zone})`);
    if (seen.has(zone)) bug(`Z4 ${name}: node ${place.node} zone ${ZONE_NAMES[place.index]} comes twice`);
    if (place.node === previous && place.index > previousIndex)
      bug(`Z4 ${name}: zone ${ZONE_NAMES[place.index]} comes after ${ZONE_NAMES[previousIndex]}`);
    if (memory.read(at + ZonelistEntry.zoneIndex) !== place.index)
      bug(`Z4 ${name}: entry ${seen.size} says index ${memory.read(at + ZonelistEntry.zoneIndex)}`);
    seen.add(zone);
    previous = place.node;
    previousIndex = place.index;
  }
  if (seen.size !== expected) bug(`Z4 ${name}: ${seen.size} zones, expected ${expected}`);
}
