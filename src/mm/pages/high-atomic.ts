/**
 * The HIGHATOMIC reserve: pageblocks kept for high-order allocations that may not wait.
 *
 * A pageblock joins after such an allocation succeeded, up to about 1 % of the zone, and leaves under pressure.
 *
 * Invariant, while zone.lock is free: nrReservedHighatomic is the pages of the zone's HIGHATOMIC pageblocks.
 *
 * Linux: mm/page_alloc.c reserve_highatomic_pageblock, unreserve_highatomic_pageblock.
 */

import type { Memory } from "../../memory/memory.ts";
import { alignDown, alignUp } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { Buddy } from "./buddy.ts";
import type { Frames } from "./frames.ts";
import { isMergeable, MAX_ORDER, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "./migrate-types.ts";
import { ZONELIST_ENTRY_WORDS } from "./node.ts";
import type { PageRef } from "./page.ts";
import type { AllocRequest } from "./reclaim-hooks.ts";
import { Zone, type ZoneRef } from "./zone.ts";

const zoneField = Zone;
const { HIGHATOMIC } = MigrateType;

export class HighAtomic {
  private readonly memory: Memory;
  private readonly frames: Frames;
  private readonly buddy: Buddy;
  private readonly locks: SpinLocks;

  constructor(buddy: Buddy, locks: SpinLocks) {
    this.memory = buddy.memory;
    this.frames = buddy.frames;
    this.buddy = buddy;
    this.locks = locks;
  }

  /** Keeps the pageblock around `page` for allocations of its kind, if there are not enough such yet.  @takes zone.lock */
  reserve(zone: ZoneRef, page: PageRef, order: number): void {
    const { memory } = this;
    const onePercent = Math.floor(memory.read(zone + zoneField.managedPages) / 100);
    if (onePercent < PAGEBLOCK_PAGES) return;
    const most = alignUp(onePercent, PAGEBLOCK_PAGES);
    if (memory.read(zone + zoneField.nrReservedHighatomic) >= most) return;
    const irqs = this.locks.lockIrqSave(zone + zoneField.lock);
    this.reserveLocked(zone, page, order, most);
    this.locks.unlockIrqRestore(zone + zoneField.lock, irqs);
  }

  /**
   * Gives a reserved pageblock with free pages to the request's type; true when pages were freed by it.  One pageblock
   * stays in each zone unless `force`.
   * @takes zone.lock
   */
  unreserve(request: AllocRequest, force: boolean): boolean {
    const { memory } = this;
    const kept = force ? 0 : PAGEBLOCK_PAGES;
    for (let entry = request.first; ; entry += ZONELIST_ENTRY_WORDS) {
      const zone = memory.read(entry);
      if (zone === 0) return false;
      if (memory.read(entry + 1) > request.highestZone) continue;
      if (memory.read(zone + zoneField.nrReservedHighatomic) <= kept) continue;
      const irqs = this.locks.lockIrqSave(zone + zoneField.lock);
      const moved = this.unreserveLocked(zone, request.type);
      this.locks.unlockIrqRestore(zone + zoneField.lock, irqs);
      if (moved > 0) return true;
    }
  }

  private reserveLocked(zone: ZoneRef, page: PageRef, order: number, most: number): void {
    const { memory, frames } = this;
    const reserved = memory.read(zone + zoneField.nrReservedHighatomic);
    if (reserved >= most) return;
    const pfn = frames.pfnOf(page);
    const type = frames.blockType(pfn);
    if (!isMergeable(type)) return;
    if (order >= PAGEBLOCK_ORDER) {
      for (let at = pfn; at < pfn + (1 << order); at += PAGEBLOCK_PAGES) frames.setBlockType(at, HIGHATOMIC);
      memory.write(zone + zoneField.nrReservedHighatomic, reserved + (1 << order));
      return;
    }
    const start = alignDown(pfn, PAGEBLOCK_PAGES);
    if (!frames.spans(zone, start) || !frames.spans(zone, start + PAGEBLOCK_PAGES - 1)) return;
    this.buddy.convertBlock(zone, start, type, HIGHATOMIC);
    memory.write(zone + zoneField.nrReservedHighatomic, reserved + PAGEBLOCK_PAGES);
  }

  private unreserveLocked(zone: ZoneRef, type: number): number {
    const { memory, frames, buddy } = this;
    for (let order = 0; order <= MAX_ORDER; order++) {
      const page = buddy.firstBlock(zone, order, HIGHATOMIC);
      if (page === 0) continue;
      const pages = Math.max(PAGEBLOCK_PAGES, 1 << order);
      const at = zone + zoneField.nrReservedHighatomic;
      memory.write(at, Math.max(0, memory.read(at) - pages));
      const pfn = frames.pfnOf(page);
      if (order < PAGEBLOCK_ORDER) {
        return buddy.convertBlock(zone, alignDown(pfn, PAGEBLOCK_PAGES), HIGHATOMIC, type);
      }
      buddy.moveToType(zone, page, order, HIGHATOMIC, type);
      for (let block = pfn; block < pfn + pages; block += PAGEBLOCK_PAGES) frames.setBlockType(block, type);
      return pages;
    }
    return 0;
  }
}
