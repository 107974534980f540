/**
 * The buddy allocator: free blocks of 2^order frames of one zone, a list for each order and migrate type.
 *
 * Invariants, while zone.lock is free
 *   B1  sum over orders of nrFree << order, ISOLATE blocks left out, is the zone's nr_free_pages, deltas added;
 *       likewise nr_free_cma and nrFreeHighatomic
 *   B2  no two free buddies of one order could have merged
 *   B3  every free block is on the list of its pageblock's type
 *   B4  a free block of order k starts at a frame divisible by 2^k, lies in its zone, and only its head says so
 *   B5  nrFree is the length of the order's lists, whose links agree in both directions
 *   B6  a free frame has no references, no mappings, no flags
 *
 * Lock order: pcp.lock -> zone.lock.
 * Source: Linux mm/page_alloc.c __free_one_page, __rmqueue_smallest, expand; Knowlton 1965.
 */

import { listAdd, listAddTail, listDel } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import { ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { FREE_AREA_WORDS, FreeArea } from "./free-area.ts";
import { isMergeable, MAX_ORDER, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "./migrate-types.ts";
import { PAGE_LINKS, PAGE_WORDS, Page, type PageRef } from "./page.ts";
import type { Vmstat } from "./vmstat.ts";
import { Zone, type ZoneRef } from "./zone.ts";

const { BUDDY_STEP } = Work;
const pageField = Page;
const zoneField = Zone;
const areaField = FreeArea;
const { HIGHATOMIC, CMA, ISOLATE } = MigrateType;
const NR_FREE_PAGES = ZoneStat.nr_free_pages;
const NR_FREE_CMA = ZoneStat.nr_free_cma;
/** Takes any free neighbour for its buddy, whatever its order. */
const mergeUnchecked = mutant("buddy-merge-no-recheck");

export class Buddy {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare readonly vmstat: Vmstat;
  declare private readonly memMap: Pointer;
  declare private readonly maxPfn: Pfn;

  constructor(frames: Frames, vmstat: Vmstat) {
    this.memory = frames.memory;
    this.frames = frames;
    this.vmstat = vmstat;
    this.memMap = frames.memMap;
    this.maxPfn = frames.maxPfn;
  }

  /**
   * Gives a block back, merging it with free buddies as far as they go.  `type` is its pageblock's.
   * Linux: __free_one_page.
   * @holds zone.lock   @irqs off
   */
  freeBlock(zone: ZoneRef, pfn: Pfn, order: number, type: number, toTail: boolean): void {
    const { memory, memMap, maxPfn } = this;
    const tag = memory.read(zone + zoneField.buddyTag);
    this.account(zone, 1 << order, type);
    while (order < MAX_ORDER) {
      const buddyPfn = pfn ^ (1 << order);
      if (buddyPfn >= maxPfn) break;
      const buddy = memMap + buddyPfn * PAGE_WORDS;
      const word = memory.read(buddy + pageField.buddy);
      reached("buddy-merge-no-recheck");
      if (mergeUnchecked ? word === 0 : word !== (tag | (order + 1))) break;
      if (order >= PAGEBLOCK_ORDER && !this.joinBlocks(type, buddyPfn)) break;
      this.remove(zone, buddy, order);
      memory.work(BUDDY_STEP, 1);
      pfn &= buddyPfn;
      order++;
    }
    this.insert(zone, pfn, order, type, toTail || this.mergeLikely(tag, pfn, order));
  }

  /**
   * Takes the first block of the smallest order that suffices, and gives back what is too much of it.
   * Returns 0 when the lists of `type` have none.  Linux: __rmqueue_smallest.
   * @holds zone.lock   @irqs off
   */
  takeSmallest(zone: ZoneRef, order: number, type: number): PageRef {
    const { memory } = this;
    let head = zone + zoneField.freeArea + order * FREE_AREA_WORDS + areaField.lists + 2 * type;
    for (let found = order; found <= MAX_ORDER; found++, head += FREE_AREA_WORDS) {
      const first = memory.read(head);
      if (first !== head) {
        this.take(zone, first - PAGE_LINKS, order, found, type);
        return first - PAGE_LINKS;
      }
    }
    return 0;
  }

  /**
   * Takes a given free block of order `found`, keeps its lower 2^order frames, gives the rest back.
   * Linux: page_del_and_expand.
   * @holds zone.lock
   */
  take(zone: ZoneRef, page: PageRef, order: number, found: number, type: number): void {
    this.remove(zone, page, found);
    const pfn = (page - this.memMap) >> 4;
    for (let half = found - 1; half >= order; half--) this.insert(zone, pfn + (1 << half), half, type, false);
    this.memory.work(BUDDY_STEP, found - order);
    this.account(zone, -(1 << order), type);
  }

  /** The first free block of `order` and `type`, or 0.  Linux: get_page_from_free_area.  @holds zone.lock */
  firstBlock(zone: ZoneRef, order: number, type: number): PageRef {
    const head = zone + zoneField.freeArea + order * FREE_AREA_WORDS + areaField.lists + 2 * type;
    const first = this.memory.read(head);
    return first === head ? 0 : first - PAGE_LINKS;
  }

  /** Blocks of `order`, of any type.  A hint without zone.lock. */
  blocks(zone: ZoneRef, order: number): number {
    return this.memory.read(zone + zoneField.freeArea + order * FREE_AREA_WORDS + areaField.nrFree);
  }

  /**
   * Moves the free blocks of the pageblock from `startPfn` to the lists of `to`, and makes `to` its type.
   * Returns the free pages moved.  Linux: move_freepages_block.
   * @holds zone.lock
   */
  convertBlock(zone: ZoneRef, startPfn: Pfn, from: number, to: number): number {
    const { memory, frames } = this;
    const tag = memory.read(zone + zoneField.buddyTag);
    let moved = 0;
    for (let pfn = startPfn; pfn < startPfn + PAGEBLOCK_PAGES; ) {
      const page = frames.pageOf(pfn);
      const word = memory.read(page + pageField.buddy);
      if ((word & ~0xff) !== tag || word === 0) {
        pfn++;
        continue;
      }
      const order = (word & 0xff) - 1;
      this.moveToType(zone, page, order, from, to);
      pfn += 1 << order;
      moved += 1 << order;
    }
    frames.setBlockType(startPfn, to);
    return moved;
  }

  /** Moves one free block to the tail of another type's list.  Linux: move_to_free_list.  @holds zone.lock */
  moveToType(zone: ZoneRef, page: PageRef, order: number, from: number, to: number): void {
    const area = zone + zoneField.freeArea + order * FREE_AREA_WORDS;
    listDel(this.memory, page + PAGE_LINKS);
    listAddTail(this.memory, page + PAGE_LINKS, area + areaField.lists + 2 * to);
    this.account(zone, -(1 << order), from);
    this.account(zone, 1 << order, to);
  }

  /** Puts a block on the list of its order and type.  Linux: __add_to_free_list.  @holds zone.lock */
  private insert(zone: ZoneRef, pfn: Pfn, order: number, type: number, toTail: boolean): void {
    const { memory } = this;
    const area = zone + zoneField.freeArea + order * FREE_AREA_WORDS;
    const page = this.memMap + pfn * PAGE_WORDS;
    const head = area + areaField.lists + 2 * type;
    memory.write(page + pageField.buddy, memory.read(zone + zoneField.buddyTag) | (order + 1));
    if (toTail) listAddTail(memory, page + PAGE_LINKS, head);
    else listAdd(memory, page + PAGE_LINKS, head);
    memory.write(area + areaField.nrFree, memory.read(area + areaField.nrFree) + 1);
  }

  /** Takes a block off its list.  Linux: __del_page_from_free_list.  @holds zone.lock */
  private remove(zone: ZoneRef, page: PageRef, order: number): void {
    const { memory } = this;
    const nrFree = zone + zoneField.freeArea + order * FREE_AREA_WORDS + areaField.nrFree;
    listDel(memory, page + PAGE_LINKS);
    memory.write(page + pageField.buddy, 0);
    memory.write(nrFree, memory.read(nrFree) - 1);
  }

  /** Adds free pages of `type` to the counters.  Linux: account_freepages.  @holds zone.lock */
  private account(zone: ZoneRef, pages: number, type: number): void {
    if (type === ISOLATE) return;
    this.vmstat.modZone(zone, NR_FREE_PAGES, pages);
    if (type === CMA) this.vmstat.modZone(zone, NR_FREE_CMA, pages);
    else if (type === HIGHATOMIC) {
      const at = zone + zoneField.nrFreeHighatomic;
      this.memory.write(at, this.memory.read(at) + pages);
    }
  }

  /**
   * Whether blocks of pageblock size and more may join: equal types, or both ordinary; the buddy then takes `type`.
   * Isolated, CMA and HIGHATOMIC blocks stay apart, or their counts would be wrong.
   */
  private joinBlocks(type: number, buddyPfn: Pfn): boolean {
    const buddyType = this.frames.blockType(buddyPfn);
    if (buddyType === type) return true;
    if (!isMergeable(type) || !isMergeable(buddyType)) return false;
    this.frames.setBlockType(buddyPfn, type);
    return true;
  }

  /**
   * Whether the block's buddy will probably be freed soon, since the block that both would form has a free buddy:
   * such a block is better used last.  Linux: buddy_merge_likely.
   */
  private mergeLikely(tag: number, pfn: Pfn, order: number): boolean {
    if (order >= MAX_ORDER - 1) return false;
    const higherBuddy = (pfn & ~(1 << order)) ^ (1 << (order + 1));
    if (higherBuddy >= this.maxPfn) return false;
    return this.memory.read(this.memMap + higherBuddy * PAGE_WORDS + pageField.buddy) === (tag | (order + 2));
  }
}
