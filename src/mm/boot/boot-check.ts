/**
 * What must hold from boot on.
 *
 * Invariants
 *   I1  each present frame's structure names the one zone whose span holds it
 *   I2  a zone's present pages == its managed pages + its reserved frames
 *   I3  the sum of managed pages == totalRamPages
 *   I4  memblock's own (memblock.ts)
 *   I5  the zones' own (zone-check.ts)
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { Page, pageRef } from "../pages/page.ts";
import { PageFlag, ZONE_SHIFT, ZONE_SLOTS } from "../pages/page-flags.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { Zone } from "../pages/zone.ts";
import { ZONE_NAMES } from "../pages/zone-index.ts";
import { Memblock } from "./memblock.ts";
import type { MmImage } from "./mm-image.ts";
import { checkZones } from "./zone-check.ts";
import type { ZoneSpan } from "./zone-plan.ts";

/** Tests I1 to I5, at rest: they hold whatever has run since.  Walks every present frame. */
export function checkBoot(memory: Memory, mm: MmImage): void {
  let managedTotal = 0;
  for (const node of mm.plan.zones.nodes) {
    for (const span of node.zones) {
      const name = `node ${node.id} zone ${ZONE_NAMES[span.index]}`;
      const reserved = reservedFrames(memory, mm, { node: node.id, span, name });
      const zone = mm.zoneAt(node.id, span.index);
      const managed = memory.read(zone + Zone.managedPages);
      const present = memory.read(zone + Zone.presentPages);
      if (present !== managed + reserved)
        bug(`${name}: ${present} present pages, but ${managed} managed and ${reserved} reserved`);
      managedTotal += managed;
    }
  }
  const total = memory.read(mm.globals.address + PageGlobals.totalRamPages);
  if (total !== managedTotal) bug(`totalram_pages is ${total}, the zones manage ${managedTotal}`);
  new Memblock(memory, mm.memblock.address).check();
  checkZones(memory, mm);
}

/** Counts a zone's reserved frames, testing that each frame names the zone. */
function reservedFrames(
  memory: Memory,
  mm: MmImage,
  zone: { node: number; span: ZoneSpan; name: string },
): number {
  const { node, span, name } = zone;
  const memMap = memory.read(mm.globals.address + PageGlobals.memMap);
  const number = node * ZONE_SLOTS + span.index;
  let reserved = 0;
  for (const range of mm.plan.firmware.ranges) {
    if (range.node !== node) continue;
    const start = Math.max(range.startPfn, span.startPfn);
    const end = Math.min(range.endPfn, span.startPfn + span.spanned);
    for (let pfn = start; pfn < end; pfn++) {
      const flags = memory.read(pageRef(memMap, pfn) + Page.flags);
      if (flags >>> ZONE_SHIFT !== number)
        bug(`${name}: frame ${pfn} names zone number ${flags >>> ZONE_SHIFT}, expected ${number}`);
      if ((flags & PageFlag.RESERVED) !== 0) reserved++;
    }
  }
  return reserved;
}
