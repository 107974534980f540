/**
 * Per-CPU page lists: most allocations and frees touch only their CPU's list, and the zone lock is taken for a batch.
 *
 * Invariants, while pcp.lock is free
 *   L1  count is the sum over lists of length << order
 *   L2  every block on a list says PCP and the list's order, and lies in the list's zone
 *   L3  a page is on at most one list
 *   L4  6.12: highMin <= high <= highMax (and two huge pages more, after a decay), or high is 0 and the lists are off
 *
 * The lock is taken by trylock: who does not get it (a remote drain has it, or this CPU's own interrupt came between)
 * goes to the zone.  Lock order: pcp.lock -> zone.lock.
 *
 * Linux: mm/page_alloc.c free_unref_page_commit, nr_pcp_free, nr_pcp_high, nr_pcp_alloc, __rmqueue_pcplist,
 * free_pcppages_bulk, drain_pages_zone, decay_pcp_high.  Differs: no irq-safe form, since the owner's interrupts come
 * only at poll points.
 */

import { bug } from "../../memory/bug.ts";
import { listAdd, listDel } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { Fallback } from "./fallback.ts";
import type { Frames } from "./frames.ts";
import { COSTLY_ORDER } from "./migrate-types.ts";
import { PAGE_LINKS, Page, type PageRef, PageType } from "./page.ts";
import { PageGlobals } from "./page-globals.ts";
import {
  BATCH_SCALE_MAX,
  PCP_LISTS,
  PcpFlag,
  type PcpRef,
  PerCpuPages,
  pcpListIndex,
  pcpListOrder,
} from "./per-cpu-pages.ts";
import { watermarkPages, zoneWatermarkOk } from "./watermark.ts";
import { Watermark, Zone, ZoneFlag, type ZoneRef } from "./zone.ts";
import { ZoneIndex } from "./zone-index.ts";

const { LIST_DRAIN } = Work;
const pageField = Page;
const zoneField = Zone;
const pcpField = PerCpuPages;
const { PCP, NONE } = PageType;
const { PREV_FREE_HIGH_ORDER, FREE_HIGH_BATCH } = PcpFlag;
const { BELOW_HIGH, RECLAIM_ACTIVE } = ZoneFlag;
const rules60 = shape.pageLists === "6.0";
const drainUnlocked = mutant("pcp-drain-unlocked");
const ownUnlocked = mutant("pcp-own-unlocked");

export class PageLists {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare private readonly fallback: Fallback;
  declare private readonly locks: SpinLocks;
  declare private readonly partWords: number;
  declare private readonly cpuOffset: number;

  constructor(fallback: Fallback, locks: SpinLocks, cpu: number) {
    const { frames } = fallback.buddy;
    this.memory = frames.memory;
    this.frames = frames;
    this.fallback = fallback;
    this.locks = locks;
    this.partWords = frames.memory.read(frames.globals + PageGlobals.zonePartWords);
    this.cpuOffset = cpu * this.partWords;
  }

  /** The lists of `cpu` for `zone`.  Linux: per_cpu_ptr(zone->per_cpu_pageset, cpu). */
  listsOf(zone: ZoneRef, cpu: number): PcpRef {
    return this.memory.read(zone + zoneField.pageset) + cpu * this.partWords;
  }

  /**
   * Takes a block of `order` from this CPU's list, refilling it if it is empty; 0 when the lock is taken or the zone has
   * none.  Linux: rmqueue_pcplist.
   * @cpu local   @takes pcp.lock
   */
  take(zone: ZoneRef, order: number, type: number, flags: number): PageRef {
    const { memory } = this;
    const pcp = memory.read(zone + zoneField.pageset) + this.cpuOffset;
    reached("pcp-own-unlocked");
    if (!ownUnlocked && !this.locks.tryLock(pcp)) return 0;
    memory.write(pcp + pcpField.freeCount, memory.read(pcp + pcpField.freeCount) >> 1);
    const head = pcp + pcpField.lists + 2 * pcpListIndex(type, order);
    let link = memory.read(head);
    if (link === head) link = this.refill(zone, pcp, head, order, type, flags);
    if (link !== 0) {
      listDel(memory, link);
      memory.write(pcp + pcpField.count, memory.read(pcp + pcpField.count) - (1 << order));
    }
    if (!ownUnlocked) this.locks.unlock(pcp);
    return link === 0 ? 0 : link - PAGE_LINKS;
  }

  /**
   * Takes up to `count` single pages under one hold of the lock and appends their frames; false when the lock is taken.
   * @cpu local   @takes pcp.lock
   */
  takeSeveral(zone: ZoneRef, type: number, flags: number, count: number, into: Pfn[]): boolean {
    const { memory } = this;
    const pcp = memory.read(zone + zoneField.pageset) + this.cpuOffset;
    if (!this.locks.tryLock(pcp)) return false;
    const head = pcp + pcpField.lists + 2 * type;
    for (let taken = 0; taken < count; taken++) {
      let link = memory.read(head);
      if (link === head) link = this.refill(zone, pcp, head, 0, type, flags);
      if (link === 0) break;
      listDel(memory, link);
      memory.write(pcp + pcpField.count, memory.read(pcp + pcpField.count) - 1);
      into.push(this.frames.pfnOf(link - PAGE_LINKS));
    }
    this.locks.unlock(pcp);
    return true;
  }

  /**
   * Puts a block on this CPU's list and gives pages back to the zone when there are too many.  False when the lock is
   * taken.  Linux: free_unref_page, free_unref_page_commit.
   * @cpu local   @takes pcp.lock
   */
  put(zone: ZoneRef, page: PageRef, order: number, type: number): boolean {
    const { memory } = this;
    const pcp = memory.read(zone + zoneField.pageset) + this.cpuOffset;
    if (!ownUnlocked && !this.locks.tryLock(pcp)) return false;
    const list = pcpListIndex(type, order);
    memory.write(page + pageField.type, PCP | (order << 8));
    listAdd(memory, page + PAGE_LINKS, pcp + pcpField.lists + 2 * list);
    const count = memory.read(pcp + pcpField.count) + (1 << order);
    memory.write(pcp + pcpField.count, count);
    if (rules60) this.trim60(zone, pcp, order, list, count);
    else this.trim(zone, pcp, order, list, count);
    if (!ownUnlocked) this.locks.unlock(pcp);
    return true;
  }

  /**
   * Gives all pages of `cpu` for `zone` back, some at a time.  Any CPU may do it.  Linux: drain_pages_zone.
   * @takes pcp.lock   @takes zone.lock
   */
  drain(zone: ZoneRef, cpu: number): void {
    const { memory, locks } = this;
    const pcp = this.listsOf(zone, cpu);
    reached("pcp-drain-unlocked");
    for (let left = 1; left > 0; ) {
      if (!drainUnlocked) locks.lock(pcp);
      const count = memory.read(pcp + pcpField.count);
      const atOnce = Math.min(count, memory.read(pcp + pcpField.batch) << BATCH_SCALE_MAX);
      if (count > 0) this.freeBulk(zone, pcp, atOnce, 0);
      if (!drainUnlocked) locks.unlock(pcp);
      left = count - atOnce;
    }
  }

  /** Gives a batch of this CPU's pages back, if the lock is free.  Linux: drain_zone_pages.  @cpu local   @takes pcp.lock */
  drainBatch(zone: ZoneRef): void {
    const { memory, locks } = this;
    const pcp = memory.read(zone + zoneField.pageset) + this.cpuOffset;
    if (!locks.tryLock(pcp)) return;
    const count = memory.read(pcp + pcpField.count);
    if (count > 0) this.freeBulk(zone, pcp, Math.min(count, memory.read(pcp + pcpField.batch)), 0);
    locks.unlock(pcp);
  }

  /**
   * Lowers this CPU's `high` towards its minimum, an eighth at a time, and gives back what is then too much: idle CPUs
   * do not keep pages for good.  Returns whether there may be more to do.  Runs in the timer interrupt, which may have
   * come while this CPU held the lock: then it is left for the next time.  Linux: decay_pcp_high.
   * @cpu local   @takes pcp.lock
   */
  decay(zone: ZoneRef): boolean {
    const { memory, locks } = this;
    const pcp = memory.read(zone + zoneField.pageset) + this.cpuOffset;
    if (!locks.tryLock(pcp)) return true;
    const highMin = memory.read(pcp + pcpField.highMin);
    const batch = memory.read(pcp + pcpField.batch);
    const count = memory.read(pcp + pcpField.count);
    let high = memory.read(pcp + pcpField.high);
    let more = false;
    if (high > highMin) {
      high = Math.max(count - (batch << BATCH_SCALE_MAX), high - (high >> 3), highMin);
      memory.write(pcp + pcpField.high, high);
      more = high > highMin;
    }
    if (count > high) {
      this.freeBulk(zone, pcp, count - high, 0);
      more = true;
    }
    locks.unlock(pcp);
    return more;
  }

  /**
   * Gives `wanted` pages of a CPU's lists back, beginning with list `first`, the oldest of each list first.
   * The pageblock's type is read under the zone's lock: it may have changed since the page was put on the list.
   * Linux: free_pcppages_bulk.
   * @holds pcp.lock   @takes zone.lock
   */
  private freeBulk(zone: ZoneRef, pcp: PcpRef, wanted: number, first: number): void {
    const { memory, frames, locks } = this;
    const { buddy } = this.fallback;
    let left = Math.min(memory.read(pcp + pcpField.count), wanted);
    let list = first === 0 ? PCP_LISTS - 1 : first - 1;
    const irqs = locks.lockIrqSave(zone + zoneField.lock);
    while (left > 0) {
      list = this.nextFilled(pcp, list);
      const head = pcp + pcpField.lists + 2 * list;
      const order = pcpListOrder(list);
      for (let link = memory.read(head + 1); left > 0 && link !== head; link = memory.read(head + 1)) {
        const page = link - PAGE_LINKS;
        const pfn = frames.pfnOf(page);
        listDel(memory, link);
        memory.write(pcp + pcpField.count, memory.read(pcp + pcpField.count) - (1 << order));
        memory.write(page + pageField.type, NONE);
        memory.work(LIST_DRAIN, 1);
        buddy.freeBlock(zone, pfn, order, frames.blockType(pfn), false);
        left -= 1 << order;
      }
    }
    locks.unlockIrqRestore(zone + zoneField.lock, irqs);
  }

  /** The first list after `list` that is not empty, in a circle. */
  private nextFilled(pcp: PcpRef, list: number): number {
    for (let step = 1; step <= PCP_LISTS; step++) {
      const at = (list + step) % PCP_LISTS;
      const head = pcp + pcpField.lists + 2 * at;
      if (this.memory.read(head) !== head) return at;
    }
    bug(`pcp ${pcp}: count is ${this.memory.read(pcp + pcpField.count)}, all lists are empty`);
  }

  /** Fills an empty list from the zone; the first link, or 0.  @holds pcp.lock   @takes zone.lock */
  private refill(
    zone: ZoneRef,
    pcp: PcpRef,
    head: Pointer,
    order: number,
    type: number,
    flags: number,
  ): Pointer {
    const { memory, locks } = this;
    const wanted = rules60 ? refillPages60(memory, pcp, order) : refillPages(memory, zone, pcp, order);
    const irqs = locks.lockIrqSave(zone + zoneField.lock);
    const taken = this.fallback.takeMany(zone, order, type, flags, wanted, head);
    locks.unlockIrqRestore(zone + zoneField.lock, irqs);
    memory.write(pcp + pcpField.count, memory.read(pcp + pcpField.count) + (taken << order));
    return taken === 0 ? 0 : memory.read(head);
  }

  /** After a free: gives pages back if there are more than `high`.  Linux: free_unref_page_commit.  @holds pcp.lock */
  private trim(zone: ZoneRef, pcp: PcpRef, order: number, list: number, count: number): void {
    const { memory } = this;
    const batch = memory.read(pcp + pcpField.batch);
    const flags = memory.read(pcp + pcpField.flags);
    const factor = memory.read(pcp + pcpField.allocFactor);
    if (factor !== 0) memory.write(pcp + pcpField.allocFactor, factor >> 1);
    let freeCount = memory.read(pcp + pcpField.freeCount);
    let freeHigh = false;
    if (order !== 0 && order <= COSTLY_ORDER) {
      freeHigh =
        freeCount >= batch &&
        (flags & PREV_FREE_HIGH_ORDER) !== 0 &&
        ((flags & FREE_HIGH_BATCH) === 0 || count >= batch);
      memory.write(pcp + pcpField.flags, flags | PREV_FREE_HIGH_ORDER);
    } else if ((flags & PREV_FREE_HIGH_ORDER) !== 0) {
      memory.write(pcp + pcpField.flags, flags & ~PREV_FREE_HIGH_ORDER);
    }
    if (freeCount < batch << BATCH_SCALE_MAX) {
      freeCount += 1 << order;
      memory.write(pcp + pcpField.freeCount, freeCount);
    }
    const high = this.tuneHigh(zone, pcp, batch, freeCount, count, freeHigh);
    if (count < high) return;
    this.freeBulk(zone, pcp, pagesToFree(count, batch, high, freeCount, freeHigh), list);
    this.clearBelowHigh(zone);
  }

  /**
   * How many pages may stay: `high`, adjusted to the zone's state.  A freeing CPU gets room for what it frees at a time;
   * a zone that is short of memory, or whose kswapd works, gets pages back sooner.  Linux: nr_pcp_high.
   */
  private tuneHigh(
    zone: ZoneRef,
    pcp: PcpRef,
    batch: number,
    freeCount: number,
    count: number,
    freeHigh: boolean,
  ): number {
    const { memory } = this;
    const high = memory.read(pcp + pcpField.high);
    const highMin = memory.read(pcp + pcpField.highMin);
    const highMax = memory.read(pcp + pcpField.highMax);
    if (high === 0) return 0;
    if (freeHigh) {
      memory.write(pcp + pcpField.high, Math.max(high - (batch << BATCH_SCALE_MAX), highMin));
      return 0;
    }
    const zoneFlags = memory.read(zone + zoneField.flags);
    if ((zoneFlags & RECLAIM_ACTIVE) !== 0) {
      const lower = Math.max(high - Math.max(freeCount, batch), highMin);
      memory.write(pcp + pcpField.high, lower);
      return Math.min(batch << 2, lower);
    }
    if (highMin === highMax) return high;
    if ((zoneFlags & BELOW_HIGH) !== 0) {
      memory.write(pcp + pcpField.high, Math.max(high - Math.max(freeCount, batch), highMin));
      return Math.max(count, highMin);
    }
    if (count >= high && high < freeCount + batch) {
      memory.write(pcp + pcpField.high, Math.min(Math.max(freeCount + batch, highMin), highMax));
    }
    return high;
  }

  /** 6.0: `high` is fixed; each bulk free without an allocation between doubles the next.  @holds pcp.lock */
  private trim60(zone: ZoneRef, pcp: PcpRef, order: number, list: number, count: number): void {
    const { memory } = this;
    const factor = memory.read(pcp + pcpField.freeCount);
    const freeAll = factor !== 0 && order !== 0 && order <= COSTLY_ORDER;
    const batch = memory.read(pcp + pcpField.batch);
    // What 6.12 tunes from, 6.0 keeps to.
    let high = memory.read(pcp + pcpField.highMin);
    if (freeAll) high = 0;
    else if ((memory.read(zone + zoneField.flags) & RECLAIM_ACTIVE) !== 0) high = Math.min(batch << 2, high);
    if (count < high) return;
    let pages = freeAll ? count : 1;
    if (!freeAll && high >= batch) {
      const most = high - batch;
      const doubled = batch << factor;
      if (doubled < most) memory.write(pcp + pcpField.freeCount, factor + 1);
      pages = clamp(doubled, batch, most);
    }
    this.freeBulk(zone, pcp, pages, list);
  }

  private clearBelowHigh(zone: ZoneRef): void {
    const { memory } = this;
    if ((memory.read(zone + zoneField.flags) & BELOW_HIGH) === 0) return;
    const mark = watermarkPages(memory, zone, Watermark.HIGH);
    if (zoneWatermarkOk(memory, zone, 0, mark, ZoneIndex.MOVABLE, 0)) {
      memory.and(zone + zoneField.flags, ~BELOW_HIGH);
    }
  }
}

/** Pages to give back at a time: as many as were freed in a row, but a batch must go and a batch may stay. */
function pagesToFree(
  count: number,
  batch: number,
  high: number,
  freeCount: number,
  freeHigh: boolean,
): number {
  if (freeHigh) return Math.min(count, batch << BATCH_SCALE_MAX);
  if (high < batch) return 1;
  return clamp(freeCount, batch, high - batch);
}

/**
 * Blocks to fetch from the zone: a batch, doubled each time that the CPU only allocates, as far as `high` allows.
 * Linux: nr_pcp_alloc.
 */
function refillPages(memory: Memory, zone: ZoneRef, pcp: PcpRef, order: number): number {
  const base = memory.read(pcp + pcpField.batch);
  const highMin = memory.read(pcp + pcpField.highMin);
  const highMax = memory.read(pcp + pcpField.highMax);
  let high = clamp(memory.read(pcp + pcpField.high), highMin, highMax);
  const factor = memory.read(pcp + pcpField.allocFactor);
  memory.write(pcp + pcpField.high, high);
  if (high < base) return 1;
  let batch = order === 0 ? base << factor : base;
  if (highMin !== highMax && (memory.read(zone + zoneField.flags) & BELOW_HIGH) === 0) {
    high = Math.min(high + batch, highMax);
    memory.write(pcp + pcpField.high, high);
  }
  if (order === 0) {
    const most = Math.max(high - memory.read(pcp + pcpField.count) - base, base);
    if (batch <= most && factor < BATCH_SCALE_MAX) memory.write(pcp + pcpField.allocFactor, factor + 1);
    batch = Math.min(batch, most);
  }
  return batch > 1 ? Math.max(batch >> order, 2) : batch;
}

/** 6.0: always one batch. */
function refillPages60(memory: Memory, pcp: PcpRef, order: number): number {
  const batch = memory.read(pcp + pcpField.batch);
  return batch > 1 ? Math.max(batch >> order, 2) : batch;
}

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);
