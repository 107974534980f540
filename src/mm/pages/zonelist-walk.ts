/**
 * Taking a block from the first zone of a zonelist that can spare it.
 *
 * Linux: mm/page_alloc.c get_page_from_freelist, rmqueue, rmqueue_buddy, prep_new_page, zone_statistics.
 */

import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { FRAME_WORDS, frameOf, type Pfn, type Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { AllocFlag } from "./alloc-flags.ts";
import { NumaStat, VmEvent } from "./counters.ts";
import type { Fallback } from "./fallback.ts";
import type { Frames } from "./frames.ts";
import { cmaRight, GfpFlag } from "./gfp.ts";
import type { HighAtomic } from "./high-atomic.ts";
import { MigrateType } from "./migrate-types.ts";
import { ZONELIST_ENTRY_WORDS } from "./node.ts";
import { Page, type PageRef, PageType } from "./page.ts";
import { checkNewPage, checkNewPages, prepareCompound } from "./page-checks.ts";
import type { PageLists } from "./page-lists.ts";
import { AllocatedPage } from "./page-overlays.ts";
import { pcpAllowedOrder } from "./per-cpu-pages.ts";
import type { ReclaimHooks } from "./reclaim-hooks.ts";
import type { Vmstat } from "./vmstat.ts";
import { watermarkPages, zoneWatermarkFast } from "./watermark.ts";
import { Watermark, Zone, ZoneFlag, type ZoneRef } from "./zone.ts";

const { ZERO_PAGE } = Work;
const pageField = Page;
const zoneField = Zone;
const { BELOW_HIGH, BOOSTED_WATERMARK } = ZoneFlag;
const { NOFRAGMENT, NO_WATERMARKS, WMARK_MASK, HIGHATOMIC, KSWAPD, OOM, NON_BLOCK } = AllocFlag;
const { NUMA_HIT, NUMA_MISS, NUMA_FOREIGN, NUMA_LOCAL, NUMA_OTHER } = {
  NUMA_HIT: NumaStat.numa_hit,
  NUMA_MISS: NumaStat.numa_miss,
  NUMA_FOREIGN: NumaStat.numa_foreign,
  NUMA_LOCAL: NumaStat.numa_local,
  NUMA_OTHER: NumaStat.numa_other,
};
const PGALLOC = VmEvent.pgalloc_dma;
const listsOn = shape.pageLists !== "off";
/** Every frame of a block is looked at as it leaves the zone under 6.0 rules, else when it is prepared if checks are on. */
const rules60 = shape.pageLists === "6.0";
const checkAll = shape.checks && !rules60;

export class ZonelistWalk {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare readonly vmstat: Vmstat;
  declare private readonly lists: PageLists;
  declare private readonly fallback: Fallback;
  declare private readonly highAtomic: HighAtomic;
  declare private readonly locks: SpinLocks;
  /** This CPU's node. */
  declare private readonly localNode: number;
  declare hooks: ReclaimHooks;

  constructor(parts: {
    lists: PageLists;
    fallback: Fallback;
    highAtomic: HighAtomic;
    locks: SpinLocks;
    localNode: number;
    hooks: ReclaimHooks;
  }) {
    const { buddy } = parts.fallback;
    this.memory = buddy.memory;
    this.frames = buddy.frames;
    this.vmstat = buddy.vmstat;
    this.lists = parts.lists;
    this.fallback = parts.fallback;
    this.highAtomic = parts.highAtomic;
    this.locks = parts.locks;
    this.localNode = parts.localNode;
    this.hooks = parts.hooks;
  }

  /**
   * Takes a block from the first zone that passes its watermark, ready for its owner; 0 when none does.  `first` is the
   * zonelist's entry of the preferred zone.  Linux: get_page_from_freelist.
   */
  take(
    gfp: number,
    order: number,
    flags: number,
    first: Pointer,
    highestZone: number,
    type: number,
    nodeMask: number,
  ): PageRef {
    const { memory } = this;
    const preferred = memory.read(first);
    for (let entry = first; ; entry += ZONELIST_ENTRY_WORDS) {
      const zone = memory.read(entry);
      if (zone === 0) break;
      if (memory.read(entry + 1) > highestZone || !this.isAllowed(zone, nodeMask)) continue;
      // Leaving the node costs more than mixing types on it.
      if ((flags & NOFRAGMENT) !== 0 && zone !== preferred && this.isRemote(zone, preferred)) break;
      if (!this.canSpare(zone, order, highestZone, flags)) continue;
      const page = this.takeFromZone(zone, order, type, flags);
      if (page === 0) continue;
      this.prepare(page, order, gfp);
      this.countTaken(preferred, zone, order);
      if ((flags & HIGHATOMIC) !== 0) this.highAtomic.reserve(zone, page, order);
      return page;
    }
    if ((flags & NOFRAGMENT) === 0) return 0;
    return this.take(gfp, order, flags & ~NOFRAGMENT, first, highestZone, type, nodeMask);
  }

  /** Takes up to `count` single pages of one zone and appends their frames; returns how many. */
  takeBulk(gfp: number, zone: ZoneRef, type: number, preferred: ZoneRef, count: number, into: Pfn[]): number {
    const flags = AllocFlag.WMARK_LOW | cmaRight(gfp) | (gfp & GfpFlag.KSWAPD_RECLAIM);
    const start = into.length;
    if (!listsOn || !this.lists.takeSeveral(zone, type, flags, count, into)) return 0;
    for (let i = start; i < into.length; i++) {
      this.prepare(this.frames.pageOf(into[i]), 0, gfp);
      this.countTaken(preferred, zone, 0);
    }
    return into.length - start;
  }

  /** The zonelist's first entry that the request may use; its zone is 0 when there is none.  Linux: first_zones_zonelist. */
  firstEntry(zonelist: Pointer, highestZone: number, nodeMask: number): Pointer {
    const { memory } = this;
    if (nodeMask === -1 && memory.read(zonelist + 1) <= highestZone) return zonelist;
    for (let entry = zonelist; ; entry += ZONELIST_ENTRY_WORDS) {
      const zone = memory.read(entry);
      if (zone === 0) return entry;
      if (memory.read(entry + 1) <= highestZone && this.isAllowed(zone, nodeMask)) return entry;
    }
  }

  /** Counts `1 << order` pages allocated from `zone`.  Linux: __count_zid_vm_events, zone_statistics. */
  countTaken(preferred: ZoneRef, zone: ZoneRef, order: number): void {
    const { memory, vmstat } = this;
    vmstat.countEvents(PGALLOC + memory.read(zone + zoneField.index), 1 << order);
    const node = memory.read(zone + zoneField.node);
    vmstat.countNuma(zone, node === this.localNode ? NUMA_LOCAL : NUMA_OTHER);
    const isHit = zone === preferred || node === memory.read(preferred + zoneField.node);
    vmstat.countNuma(zone, isHit ? NUMA_HIT : NUMA_MISS);
    if (!isHit) vmstat.countNuma(preferred, NUMA_FOREIGN);
  }

  /** Makes a free block an allocated one.  Linux: prep_new_page. */
  prepare(page: PageRef, order: number, gfp: number): void {
    const { memory, frames } = this;
    if (checkAll && order !== 0) checkNewPages(frames, page, order);
    else checkNewPage(frames, page);
    memory.write(page + pageField.type, PageType.ALLOCATED | (order << 8));
    memory.write(page + AllocatedPage.private, 0);
    memory.write(page + pageField.refcount, 1);
    if ((gfp & (GfpFlag.ZERO | GfpFlag.SKIP_ZERO)) === GfpFlag.ZERO) {
      memory.work(ZERO_PAGE, 1 << order);
      memory.fill(frameOf(frames.pfnOf(page)), FRAME_WORDS << order, 0);
    }
    if (order !== 0 && (gfp & GfpFlag.COMP) !== 0) prepareCompound(frames, page, order);
  }

  /**
   * Whether the zone stays above the mark that `flags` name.  Above the high mark nothing else is asked; the first
   * allocation that finds less says so in the zone's flags, and page lists shrink.
   */
  private canSpare(zone: ZoneRef, order: number, highestZone: number, flags: number): boolean {
    const { memory } = this;
    if ((memory.read(zone + zoneField.flags) & BELOW_HIGH) === 0) {
      const high = watermarkPages(memory, zone, Watermark.HIGH);
      if (zoneWatermarkFast(memory, zone, order, high, highestZone, flags)) return true;
      memory.or(zone + zoneField.flags, BELOW_HIGH);
    }
    const mark = watermarkPages(memory, zone, flags & WMARK_MASK);
    return zoneWatermarkFast(memory, zone, order, mark, highestZone, flags) || (flags & NO_WATERMARKS) !== 0;
  }

  /** From this CPU's page list, else from the zone.  Linux: rmqueue. */
  private takeFromZone(zone: ZoneRef, order: number, type: number, flags: number): PageRef {
    const { memory } = this;
    let page = 0;
    if (listsOn && pcpAllowedOrder(order)) page = this.lists.take(zone, order, type, flags);
    if (page === 0) page = this.takeLocked(zone, order, type, flags);
    if ((flags & KSWAPD) !== 0 && (memory.read(zone + zoneField.flags) & BOOSTED_WATERMARK) !== 0) {
      memory.and(zone + zoneField.flags, ~BOOSTED_WATERMARK);
      this.hooks.wakeKswapd(zone, 0, memory.read(zone + zoneField.index), 0);
    }
    return page;
  }

  /** Linux: rmqueue_buddy.  @takes zone.lock */
  private takeLocked(zone: ZoneRef, order: number, type: number, flags: number): PageRef {
    const { locks, fallback } = this;
    const { buddy } = fallback;
    const irqs = locks.lockIrqSave(zone + zoneField.lock);
    let page = 0;
    if ((flags & HIGHATOMIC) !== 0) page = buddy.takeSmallest(zone, order, MigrateType.HIGHATOMIC);
    if (page === 0) page = fallback.take(zone, order, type, flags);
    // Failing now is worse than failing a high-order allocation later.
    if (page === 0 && (flags & (OOM | NON_BLOCK)) !== 0) {
      page = buddy.takeSmallest(zone, order, MigrateType.HIGHATOMIC);
    }
    locks.unlockIrqRestore(zone + zoneField.lock, irqs);
    if (rules60 && page !== 0) checkNewPages(this.frames, page, order);
    return page;
  }

  private isAllowed(zone: ZoneRef, nodeMask: number): boolean {
    return nodeMask === -1 || ((nodeMask >> this.memory.read(zone + zoneField.node)) & 1) !== 0;
  }

  private isRemote(zone: ZoneRef, preferred: ZoneRef): boolean {
    const { memory } = this;
    return memory.read(zone + zoneField.node) !== memory.read(preferred + zoneField.node);
  }
}
