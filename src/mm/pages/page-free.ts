/**
 * The way of a block back to the free lists.
 *
 * Linux: mm/page_alloc.c free_unref_page, __free_pages_ok, free_one_page, split_large_buddy, __free_pages_core.
 */

import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pfn } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { Buddy } from "./buddy.ts";
import { NodeStat, VmEvent, ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { MigrateType, PAGEBLOCK_ORDER, PCP_TYPES } from "./migrate-types.ts";
import { Page, type PageRef } from "./page.ts";
import { prepareFree } from "./page-checks.ts";
import { PageFlag } from "./page-flags.ts";
import type { PageLists } from "./page-lists.ts";
import { pcpAllowedOrder } from "./per-cpu-pages.ts";
import { Zone, type ZoneRef } from "./zone.ts";

const zoneField = Zone;
const pageField = Page;
const LOCKED_MARKS = PageFlag.MLOCKED | PageFlag.UNEVICTABLE;
const { MOVABLE, ISOLATE } = MigrateType;
const PGFREE = VmEvent.pgfree;
const listsOn = shape.pageLists !== "off";
const freeUnlocked = mutant("buddy-free-unlocked");
const typeUnlocked = mutant("buddy-free-type-unlocked");

export class PageFree {
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly buddy: Buddy;
  declare private readonly lists: PageLists;
  declare private readonly locks: SpinLocks;

  constructor(buddy: Buddy, lists: PageLists, locks: SpinLocks) {
    this.memory = buddy.memory;
    this.frames = buddy.frames;
    this.buddy = buddy;
    this.lists = lists;
    this.locks = locks;
  }

  /** Frees a block whose last reference is gone.  Linux: free_unref_page. */
  free(page: PageRef, order: number): void {
    const { frames } = this;
    if ((this.memory.read(page + pageField.flags) & LOCKED_MARKS) !== 0) this.clearMlocked(page);
    prepareFree(frames, page, order);
    const zone = frames.zoneOf(page);
    this.buddy.vmstat.countEvents(PGFREE, 1 << order);
    if (listsOn && pcpAllowedOrder(order)) {
      // The type is a hint here; the drain asks again under the zone's lock.
      const type = frames.blockType(frames.pfnOf(page));
      if (type < PCP_TYPES) {
        if (this.lists.put(zone, page, order, type)) return;
      } else if (type !== ISOLATE && this.lists.put(zone, page, order, MOVABLE)) return;
    }
    this.freeToZone(zone, frames.pfnOf(page), order, false);
  }

  /**
   * A page of a locked VMA that was taken out of it while the VMA was unlocked kept its marks.
   * Linux: free_pages_prepare, __folio_clear_lru_flags.
   */
  private clearMlocked(page: PageRef): void {
    const { memory, frames } = this;
    const { vmstat } = this.buddy;
    const flags = memory.and(page + pageField.flags, ~LOCKED_MARKS);
    const zone = frames.zoneOf(page);
    if ((flags & PageFlag.MLOCKED) !== 0) {
      vmstat.modZone(zone, ZoneStat.nr_mlock, -1);
      vmstat.countEvents(VmEvent.unevictable_pgs_cleared, 1);
    }
    if ((flags & PageFlag.UNEVICTABLE) === 0) return;
    vmstat.modNode(frames.nodeAt(frames.nodeOf(page)), NodeStat.nr_unevictable, -1);
    vmstat.modZone(zone, ZoneStat.nr_zone_unevictable, -1);
  }

  /**
   * Frees a block past the page lists.  Blocks above pageblock size go as pageblocks, since their types may differ.
   * Linux: free_one_page, split_large_buddy.
   * @takes zone.lock
   */
  freeToZone(zone: ZoneRef, pfn: Pfn, order: number, toTail: boolean): void {
    const { buddy, frames, locks } = this;
    const end = pfn + (1 << order);
    const part = Math.min(order, PAGEBLOCK_ORDER);
    reached("buddy-free-unlocked");
    reached("buddy-free-type-unlocked");
    const early = typeUnlocked ? frames.blockType(pfn) : 0;
    const irqs = freeUnlocked ? 0 : locks.lockIrqSave(zone + zoneField.lock);
    for (let at = pfn; at < end; at += 1 << part) {
      buddy.freeBlock(zone, at, part, typeUnlocked ? early : frames.blockType(at), toTail);
    }
    if (!freeUnlocked) locks.unlockIrqRestore(zone + zoneField.lock, irqs);
  }

  /**
   * Boot: gives a block that memblock held to the allocator.  Its pages say zone and node, have no references and no
   * type.  Linux: __free_pages_core.
   * @takes zone.lock
   */
  release(pfn: Pfn, order: number): void {
    const zone = this.frames.zoneOf(this.frames.pageOf(pfn));
    this.memory.add(zone + zoneField.managedPages, 1 << order);
    this.freeToZone(zone, pfn, order, true);
  }
}
