/**
 * What a migrate type does when its own lists are empty: take from CMA, claim a whole pageblock of another type, or
 * steal one block.
 *
 * Claiming looks for the largest block of another type and converts its pageblock if most of it suits; stealing takes
 * the smallest and leaves the pageblock's type.  Both walk the types in the order of FALLBACKS.
 *
 * Linux: mm/page_alloc.c __rmqueue, __rmqueue_claim, __rmqueue_steal, try_to_claim_block, boost_watermark.
 */

import { listAddTail } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { alignDown, type Pfn, type Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import { AllocFlag } from "./alloc-flags.ts";
import type { Buddy } from "./buddy.ts";
import { ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { FALLBACKS, MAX_ORDER, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "./migrate-types.ts";
import { PAGE_LINKS, Page, type PageRef, PageType } from "./page.ts";
import { checkNewPages } from "./page-checks.ts";
import { PageFlag } from "./page-flags.ts";
import { PageGlobals } from "./page-globals.ts";
import type { Vmstat } from "./vmstat.ts";
import { Watermark, Zone, ZoneFlag, type ZoneRef } from "./zone.ts";

const { LIST_REFILL } = Work;
const pageField = Page;
const zoneField = Zone;
const globalField = PageGlobals;
const { CMA: ALLOC_CMA, NOFRAGMENT, KSWAPD } = AllocFlag;
const { UNMOVABLE, MOVABLE, RECLAIMABLE, CMA } = MigrateType;
const NR_FREE_PAGES = ZoneStat.nr_free_pages;
const NR_FREE_CMA = ZoneStat.nr_free_cma;
const WHOLE_BLOCK = PAGEBLOCK_PAGES >> 1;
/** 6.0 looked at every frame of a block when it came from the zone, under the lock. */
const checksAtRefill = shape.pageLists === "6.0";

/** Where a bulk under one hold of the lock goes on: at the step that last gave a block. */
const NORMAL = 0;
const FROM_CMA = 1;
const CLAIM = 2;
const STEAL = 3;

export class Fallback {
  declare readonly buddy: Buddy;
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly vmstat: Vmstat;

  constructor(buddy: Buddy) {
    this.memory = buddy.memory;
    this.frames = buddy.frames;
    this.buddy = buddy;
    this.vmstat = buddy.vmstat;
  }

  /**
   * Takes a block by every means that `flags` allow, own lists first; 0 when there is none.  Linux: __rmqueue.
   * @holds zone.lock   @irqs off
   */
  take(zone: ZoneRef, order: number, type: number, flags: number): PageRef {
    const { buddy } = this;
    if ((flags & ALLOC_CMA) !== 0) {
      const page = this.cmaHoldsMost(zone) ? buddy.takeSmallest(zone, order, CMA) : 0;
      if (page !== 0) return page;
    }
    const own = buddy.takeSmallest(zone, order, type);
    if (own !== 0) return own;
    if ((flags & ALLOC_CMA) !== 0) {
      const page = buddy.takeSmallest(zone, order, CMA);
      if (page !== 0) return page;
    }
    const claimed = this.claim(zone, order, type, flags);
    if (claimed !== 0 || (flags & NOFRAGMENT) !== 0) return claimed;
    return this.steal(zone, order, type);
  }

  /**
   * Takes up to `count` blocks and appends them to the list at `head`; returns how many.  Searching the own lists again
   * for each block would be in vain until a claim has filled them, so the step that worked is remembered.
   * Linux: rmqueue_bulk.
   * @holds zone.lock   @irqs off
   */
  takeMany(zone: ZoneRef, order: number, type: number, flags: number, count: number, head: Pointer): number {
    const { buddy, memory } = this;
    let mode = NORMAL;
    for (let taken = 0; taken < count; taken++) {
      let page = 0;
      if ((flags & ALLOC_CMA) !== 0 && this.cmaHoldsMost(zone)) page = buddy.takeSmallest(zone, order, CMA);
      if (page === 0 && mode === NORMAL) page = buddy.takeSmallest(zone, order, type);
      if (page === 0 && mode <= FROM_CMA && (flags & ALLOC_CMA) !== 0) {
        page = buddy.takeSmallest(zone, order, CMA);
        if (page !== 0) mode = FROM_CMA;
      }
      if (page === 0 && mode <= CLAIM) {
        page = this.claim(zone, order, type, flags);
        if (page !== 0) mode = NORMAL;
      }
      if (page === 0 && (flags & NOFRAGMENT) === 0) {
        page = this.steal(zone, order, type);
        mode = STEAL;
      }
      if (page === 0) return taken;
      memory.work(LIST_REFILL, 1);
      if (checksAtRefill) checkNewPages(this.frames, page, order);
      memory.write(page + pageField.type, PageType.PCP | (order << 8));
      listAddTail(memory, page + PAGE_LINKS, head);
    }
    return count;
  }

  /**
   * Takes the largest block of another type, with its whole pageblock if that suits.  Linux: __rmqueue_claim.
   * @holds zone.lock
   */
  private claim(zone: ZoneRef, order: number, type: number, flags: number): PageRef {
    const smallest = (flags & NOFRAGMENT) !== 0 ? Math.max(order, PAGEBLOCK_ORDER) : order;
    for (let found = MAX_ORDER; found >= smallest; found--) {
      if (!mayClaim(found, type)) return 0;
      const victim = this.fallbackType(zone, found, type);
      if (victim < 0) continue;
      const block = this.buddy.firstBlock(zone, found, victim);
      const page = this.claimBlock(zone, block, { found, order, type, victim, flags });
      if (page !== 0) return page;
    }
    return 0;
  }

  /** Takes the smallest block of another type and leaves its pageblock.  Linux: __rmqueue_steal.  @holds zone.lock */
  private steal(zone: ZoneRef, order: number, type: number): PageRef {
    for (let found = order; found <= MAX_ORDER; found++) {
      const victim = this.fallbackType(zone, found, type);
      if (victim < 0) continue;
      const page = this.buddy.firstBlock(zone, found, victim);
      this.buddy.take(zone, page, order, found, victim);
      return page;
    }
    return 0;
  }

  /** The first type to fall back to that has a block of `order`, or -1.  Linux: find_suitable_fallback. */
  private fallbackType(zone: ZoneRef, order: number, type: number): number {
    if (this.buddy.blocks(zone, order) === 0) return -1;
    for (let i = 2 * type; i < 2 * type + 2; i++) {
      if (this.buddy.firstBlock(zone, order, FALLBACKS[i]) !== 0) return FALLBACKS[i];
    }
    return -1;
  }

  /**
   * Makes the pageblock of a free block ours and takes from it; 0 when too little of it suits.
   * Linux: try_to_claim_block.
   */
  private claimBlock(zone: ZoneRef, block: PageRef, want: Claim): PageRef {
    const { buddy, frames } = this;
    const pfn = frames.pfnOf(block);
    if (want.found >= PAGEBLOCK_ORDER) {
      // The types change first: what the split gives back must lie on the lists of its pageblock's type.
      for (let at = pfn; at < pfn + (1 << want.found); at += PAGEBLOCK_PAGES)
        frames.setBlockType(at, want.type);
      buddy.moveToType(zone, block, want.found, want.victim, want.type);
      buddy.take(zone, block, want.order, want.found, want.type);
      return block;
    }
    if (this.boost(zone) && (want.flags & KSWAPD) !== 0) {
      this.memory.or(zone + zoneField.flags, ZoneFlag.BOOSTED_WATERMARK);
    }
    const start = alignDown(pfn, PAGEBLOCK_PAGES);
    if (!frames.spans(zone, start) || !frames.spans(zone, start + PAGEBLOCK_PAGES - 1)) return 0;
    const { free, movable } = this.surveyBlock(zone, start);
    // Pages that are neither free nor movable: of our kind, unless the block's type says that they are of another.
    const others = want.victim === MOVABLE ? PAGEBLOCK_PAGES - free - movable : 0;
    const alike = want.type === MOVABLE ? movable : others;
    if (free + alike < WHOLE_BLOCK && !this.mobilityIgnored()) return 0;
    buddy.convertBlock(zone, start, want.victim, want.type);
    return buddy.takeSmallest(zone, want.order, want.type);
  }

  /** Free pages and movable ones of a pageblock.  Linux: prep_move_freepages_block. */
  private surveyBlock(zone: ZoneRef, start: Pfn): { free: number; movable: number } {
    const { memory, frames } = this;
    const tag = memory.read(zone + zoneField.buddyTag);
    let free = 0;
    let movable = 0;
    for (let pfn = start; pfn < start + PAGEBLOCK_PAGES; pfn++) {
      const page = frames.pageOf(pfn);
      const word = memory.read(page + pageField.buddy);
      if (word !== 0 && (word & ~0xff) === tag) {
        const pages = 1 << ((word & 0xff) - 1);
        free += pages;
        pfn += pages - 1;
      } else if ((memory.load(page + pageField.flags) & (PageFlag.LRU | PageFlag.MOVABLE)) !== 0) {
        movable++;
      }
    }
    return { free, movable };
  }

  /**
   * Raises the zone's marks, so that kswapd frees whole pageblocks and fewer allocations fall back.
   * Linux: boost_watermark.
   */
  private boost(zone: ZoneRef): boolean {
    const { memory } = this;
    const factor = memory.read(this.frames.globals + globalField.watermarkBoostFactor);
    if (factor === 0) return false;
    if (PAGEBLOCK_PAGES * 4 > memory.read(zone + zoneField.managedPages)) return false;
    const high = memory.read(zone + zoneField.watermark + Watermark.HIGH);
    const most = Math.floor((high * factor) / 10_000);
    if (most === 0) return false;
    const boosted = memory.read(zone + zoneField.watermarkBoost) + PAGEBLOCK_PAGES;
    memory.write(zone + zoneField.watermarkBoost, Math.min(boosted, Math.max(PAGEBLOCK_PAGES, most)));
    return true;
  }

  private cmaHoldsMost(zone: ZoneRef): boolean {
    return this.vmstat.zoneState(zone, NR_FREE_CMA) > this.vmstat.zoneState(zone, NR_FREE_PAGES) >> 1;
  }

  private mobilityIgnored(): boolean {
    return this.memory.read(this.frames.globals + globalField.groupByMobilityDisabled) !== 0;
  }
}

interface Claim {
  /** Order of the free block, and the order wanted. */
  readonly found: number;
  readonly order: number;
  /** The type wanted, and the type of the block. */
  readonly type: number;
  readonly victim: number;
  readonly flags: number;
}

/**
 * Whether a pageblock may be claimed on account of a free block of `order`.  Kernel memory always tries: it would spoil
 * a movable block for good.  Linux: should_try_claim_block.
 */
function mayClaim(order: number, type: number): boolean {
  return order >= PAGEBLOCK_ORDER >> 1 || type === RECLAIMABLE || type === UNMOVABLE;
}
