/** Looking at the free lists of a fixture's zone, and taking and giving blocks past the page lists. */

import { FREE_AREA_WORDS, FreeArea } from "../../src/mm/pages/free-area.ts";
import { MigrateType, ORDERS } from "../../src/mm/pages/migrate-types.ts";
import { PAGE_LINKS } from "../../src/mm/pages/page.ts";
import { PCP_LISTS, PerCpuPages } from "../../src/mm/pages/per-cpu-pages.ts";
import { Zone } from "../../src/mm/pages/zone.ts";
import type { PageFixture } from "./page-fixture.ts";

const { MOVABLE } = MigrateType;

/** Frames of the free blocks of `order` and `type` in the first zone, first to last. */
export function listed(machine: PageFixture, order: number, type: number = MOVABLE): number[] {
  return linked(
    machine,
    machine.zones[0] + Zone.freeArea + order * FREE_AREA_WORDS + FreeArea.lists + 2 * type,
  );
}

/** Free blocks of each order in the first zone. */
export function counts({ pages, zones }: PageFixture): number[] {
  return Array.from({ length: ORDERS }, (_, order) => pages.buddy.blocks(zones[0], order));
}

/** Takes a block from the first zone's free lists, of one type only; its frame, or 0. */
export function take(machine: PageFixture, order: number, type: number = MOVABLE): number {
  const page = machine.pages.buddy.takeSmallest(machine.zones[0], order, type);
  return page === 0 ? 0 : machine.pages.frames.pfnOf(page);
}

/** Gives a block back to the first zone's free lists. */
export function give(machine: PageFixture, pfn: number, order: number, toTail = false): void {
  const { buddy, frames } = machine.pages;
  buddy.freeBlock(machine.zones[0], pfn, order, frames.blockType(pfn), toTail);
}

/** Frames on each page list of `cpu` for the first zone, first to last. */
export function pageLists(machine: PageFixture, cpu = 0): number[][] {
  const pcp = machine.pages.lists.listsOf(machine.zones[0], cpu);
  return Array.from({ length: PCP_LISTS }, (_, list) => linked(machine, pcp + PerCpuPages.lists + 2 * list));
}

/** A field of `cpu`'s page lists for the first zone. */
export function pcpField(machine: PageFixture, field: keyof typeof PerCpuPages, cpu = 0): number {
  return machine.memory.read(machine.pages.lists.listsOf(machine.zones[0], cpu) + PerCpuPages[field]);
}

export function setPcpField(
  machine: PageFixture,
  field: keyof typeof PerCpuPages,
  value: number,
  cpu = 0,
): void {
  machine.memory.write(machine.pages.lists.listsOf(machine.zones[0], cpu) + PerCpuPages[field], value);
}

function linked({ memory, pages }: PageFixture, head: number): number[] {
  const pfns: number[] = [];
  for (let link = memory.read(head); link !== head; link = memory.read(link)) {
    pfns.push(pages.frames.pfnOf(link - PAGE_LINKS));
  }
  return pfns;
}
