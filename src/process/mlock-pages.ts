/**
 * Pages of locked VMAs: which are locked, and how often.
 *
 *   MLOCKED       some locked VMA maps the page: set at once
 *   UNEVICTABLE   its count is kept: set, and the count changed, under its node's lru_lock
 *
 * Each CPU collects up to 31 pages, with a reference to each, and takes the lock once for all of them.  A page that is unlocked
 * while another CPU has not counted yet that it is locked once more loses its mark too early.  As in Linux, nothing but
 * reclaim would notice, and put it back.
 *
 * Invariants at rest
 *   L1  nr_mlock == pages with MLOCKED; nr_unevictable and nr_zone_unevictable == pages with UNEVICTABLE
 *   L2  such a page is mapped by a locked VMA, or waits in a CPU's batch
 *
 * Linux: mm/mlock.c mlock_folio, mlock_new_folio, munlock_folio, mlock_folio_batch, __mlock_folio, __munlock_folio.
 * Differs: there are no LRU lists, so no page is ever off them.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { array, embed, struct, word, wordsIn } from "../memory/struct.ts";
import type { Pfn, Pointer } from "../memory/units.ts";
import { NodeStat, VmEvent, ZoneStat } from "../mm/pages/counters.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { MAX_NODES, PageFlag } from "../mm/pages/page-flags.ts";
import { AnonPage } from "../mm/pages/page-overlays.ts";
import { LockClass } from "../sync/lock-class.ts";
import { SpinLock, type SpinLocks } from "../sync/spinlock.ts";
import { VmArea, type VmaRef } from "./vm-area.ts";
import { VM_SPECIAL, VmFlag } from "./vm-flags.ts";

const { MLOCKED, UNEVICTABLE } = PageFlag;
/** Linux: PAGEVEC_SIZE. */
const BATCH_PAGES = 31;
/** What is to be done with a page in a batch: the low bits of its entry.  Linux: LRU_FOLIO, NEW_FOLIO. */
const Step = { UNLOCK: 0, LOCK: 1, LOCK_NEW: 2 } as const;
const STEP_BITS = 2;

const Batch = struct("mlock_fbatch", {
  count: word("owner-cpu", "counter"),
  entries: array(BATCH_PAGES, "owner-cpu"),
});
const Globals = struct("lruvec", { lock: embed(SpinLock, "atomic", MAX_NODES) });
const page = Page;
/** Counts are changed without lru_lock. */
const countsUnlocked = mutant("mlock-count-unlocked");
/** The same word of pages of files. */
const mlockCount = AnonPage.mlockCount;

export interface MlockSlots {
  readonly batch: PerCpuSlot;
  readonly lruvec: Slot;
}

export interface MlockPageParts {
  readonly cpu: { readonly id: number; readonly memory: Memory };
  readonly cpus: number;
  readonly locks: SpinLocks;
  readonly pages: PageAllocator;
  readonly slots: MlockSlots;
}

export class MlockPages {
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;
  declare private readonly locks: SpinLocks;
  declare private readonly own: Pointer;
  declare private readonly parts: MlockPageParts;

  constructor(parts: MlockPageParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.pages = parts.pages;
    this.locks = parts.locks;
    this.own = parts.slots.batch.of(parts.cpu.id);
  }

  static declare(layout: ImageLayout): MlockSlots {
    return { batch: layout.perCpu("mlock_fbatch", Batch), lruvec: layout.place("lruvec", Globals) };
  }

  /** Before the first page is locked. */
  format(): void {
    for (let node = 0; node < MAX_NODES; node++) this.locks.format(this.lockOf(node), LockClass.LRU);
  }

  // ---- pages of one VMA ----

  /** A new page was mapped in `area`.  Linux: folio_add_lru_vma. */
  addedNew(pfn: Pfn, area: VmaRef): void {
    if (this.isLocked(area)) this.mark(pfn, Step.LOCK_NEW);
  }

  /** A page that others may map was mapped in `area`.  Linux: mlock_vma_folio. */
  added(pfn: Pfn, area: VmaRef): void {
    if (this.isLocked(area)) this.mark(pfn, Step.LOCK);
  }

  /** A page is mapped in `area` no more.  Linux: munlock_vma_folio. */
  removed(pfn: Pfn, area: VmaRef): void {
    if ((this.memory.read(area + VmArea.flags) & VmFlag.LOCKED) !== 0) this.unlock(pfn);
  }

  /** Linux: mlock_folio. */
  lock(pfn: Pfn): void {
    this.mark(pfn, Step.LOCK);
  }

  /** Linux: munlock_folio. */
  unlock(pfn: Pfn): void {
    this.collect(pfn, Step.UNLOCK);
  }

  private isLocked(area: VmaRef): boolean {
    return (this.memory.read(area + VmArea.flags) & (VmFlag.LOCKED | VM_SPECIAL)) === VmFlag.LOCKED;
  }

  // ---- batches ----

  /** Counts what this CPU has collected.  Linux: lru_add_drain, mlock_drain_local. */
  drain(): void {
    const { memory, own } = this;
    const count = memory.read(own + Batch.count);
    if (count === 0) return;
    let held = -1;
    for (let i = 0; i < count; i++) {
      const entry = memory.read(own + Batch.entries + i);
      const pfn = entry >> STEP_BITS;
      const node = this.pages.frames.nodeOf(this.pages.frames.pageOf(pfn));
      if (node !== held) {
        reached("mlock-count-unlocked");
        if (held >= 0 && !countsUnlocked) this.locks.unlock(this.lockOf(held));
        if (!countsUnlocked) this.locks.lock(this.lockOf(node));
        held = node;
      }
      if ((entry & (2 ** STEP_BITS - 1)) === Step.UNLOCK) this.countUnlocked(pfn);
      else this.countLocked(pfn);
    }
    if (!countsUnlocked) this.locks.unlock(this.lockOf(held));
    memory.write(own + Batch.count, 0);
    for (let i = 0; i < count; i++) this.pages.putPage(memory.read(own + Batch.entries + i) >> STEP_BITS);
  }

  private mark(pfn: Pfn, step: number): void {
    const { pages } = this;
    const at = pages.frames.pageOf(pfn);
    if ((this.memory.or(at + page.flags, MLOCKED) & MLOCKED) === 0) {
      pages.vmstat.modZone(pages.frames.zoneOf(at), ZoneStat.nr_mlock, 1);
      pages.vmstat.countEvents(VmEvent.unevictable_pgs_mlocked, 1);
    }
    this.collect(pfn, step);
  }

  private collect(pfn: Pfn, step: number): void {
    const { memory, own } = this;
    this.pages.getPage(pfn);
    const count = memory.read(own + Batch.count);
    memory.write(own + Batch.entries + count, (pfn << STEP_BITS) | step);
    memory.write(own + Batch.count, count + 1);
    if (count + 1 === BATCH_PAGES) this.drain();
  }

  /** Linux: __mlock_folio, __mlock_new_folio.  @holds lru_lock */
  private countLocked(pfn: Pfn): void {
    const { memory, pages } = this;
    const at = pages.frames.pageOf(pfn);
    const flags = memory.load(at + page.flags);
    if ((flags & MLOCKED) === 0) {
      // Another CPU was faster in unlocking it.
      if ((flags & UNEVICTABLE) !== 0) this.setEvictable(pfn);
      return;
    }
    if ((flags & UNEVICTABLE) !== 0) {
      memory.write(at + mlockCount, memory.read(at + mlockCount) + 1);
      return;
    }
    memory.or(at + page.flags, UNEVICTABLE);
    memory.write(at + mlockCount, 1);
    this.countUnevictable(at, 1);
    pages.vmstat.countEvents(VmEvent.unevictable_pgs_culled, 1);
  }

  /** Linux: __munlock_folio.  @holds lru_lock */
  private countUnlocked(pfn: Pfn): void {
    const { memory, pages } = this;
    const at = pages.frames.pageOf(pfn);
    if ((memory.load(at + page.flags) & UNEVICTABLE) !== 0) {
      const count = Math.max(0, memory.read(at + mlockCount) - 1);
      memory.write(at + mlockCount, count);
      if (count > 0) return;
    }
    if ((memory.and(at + page.flags, ~MLOCKED) & MLOCKED) !== 0) {
      pages.vmstat.modZone(pages.frames.zoneOf(at), ZoneStat.nr_mlock, -1);
      pages.vmstat.countEvents(VmEvent.unevictable_pgs_munlocked, 1);
    }
    const after = memory.load(at + page.flags);
    if ((after & (UNEVICTABLE | MLOCKED)) === UNEVICTABLE) this.setEvictable(pfn);
  }

  private setEvictable(pfn: Pfn): void {
    const at = this.pages.frames.pageOf(pfn);
    this.memory.and(at + page.flags, ~UNEVICTABLE);
    this.countUnevictable(at, -1);
    this.pages.vmstat.countEvents(VmEvent.unevictable_pgs_rescued, 1);
  }

  private countUnevictable(at: Pointer, change: number): void {
    const { vmstat, frames } = this.pages;
    vmstat.modNode(frames.nodeAt(frames.nodeOf(at)), NodeStat.nr_unevictable, change);
    vmstat.modZone(frames.zoneOf(at), ZoneStat.nr_zone_unevictable, change);
  }

  private lockOf(node: number): Pointer {
    return this.parts.slots.lruvec.address + Globals.lock + node * wordsIn(SpinLock);
  }

  // ---- checks, at rest ----

  /** References that batches have, by page. */
  collected(): Map<Pfn, number> {
    const { memory } = this;
    const { slots, cpus } = this.parts;
    const found = new Map<Pfn, number>();
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = slots.batch.of(cpu);
      for (let i = 0; i < memory.read(at + Batch.count); i++) {
        const pfn = memory.read(at + Batch.entries + i) >> STEP_BITS;
        found.set(pfn, (found.get(pfn) ?? 0) + 1);
      }
    }
    return found;
  }

  /** L1 and L2; `locked` has the pages that locked VMAs map. */
  check(locked: ReadonlySet<Pfn>): void {
    const { memory } = this;
    const { frames, vmstat } = this.pages;
    const waiting = this.collected();
    const counts = { mlocked: 0, unevictable: 0 };
    for (const pfn of new Set([...locked, ...waiting.keys()])) {
      const flags = memory.load(frames.pageOf(pfn) + page.flags);
      if ((flags & MLOCKED) !== 0) counts.mlocked++;
      if ((flags & UNEVICTABLE) !== 0) counts.unevictable++;
    }
    const zones = frames.populatedZones();
    const zoneSum = (item: number): number =>
      zones.reduce((sum, zone) => sum + vmstat.zoneStateSnapshot(zone, item), 0);
    let unevictable = 0;
    for (let node = 0; node < frames.nodeCount; node++)
      unevictable += vmstat.nodeStateSnapshot(frames.nodeAt(node), NodeStat.nr_unevictable);
    const said = [zoneSum(ZoneStat.nr_mlock), zoneSum(ZoneStat.nr_zone_unevictable), unevictable];
    const expected = [counts.mlocked, counts.unevictable, counts.unevictable];
    if (said.join() !== expected.join())
      bug(
        `L1 nr_mlock, nr_zone_unevictable, nr_unevictable are ${said.join()}; pages that are mapped by locked ` +
          `VMAs or wait in batches make ${expected.join()}`,
      );
  }
}
