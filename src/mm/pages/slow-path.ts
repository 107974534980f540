/**
 * What an allocation does when no zone is above its low mark.
 *
 * Order: the min mark and the rights of who may not wait, kswapd woken; for large or unmovable blocks a first, cheap
 * compaction; then rounds of reclaim, compaction, and once in a while the OOM killer, until a block is there or the
 * flags say stop.  Before a round gives up it drains the page lists and lets go of the HIGHATOMIC reserve.
 *
 * Linux: mm/page_alloc.c __alloc_pages_slowpath, __alloc_pages_direct_reclaim, should_reclaim_retry,
 * should_compact_retry, __alloc_pages_may_oom.  Differs: __GFP_NOFAIL loops only while reclaim, compaction or the OOM
 * killer make progress; without progress nothing can end the loop, and that is a bug.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { StackFrame } from "../../hardware/stack-frames.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { AllocFlag } from "./alloc-flags.ts";
import { ZoneStat } from "./counters.ts";
import type { Drain } from "./drain.ts";
import { cmaRight, GfpFlag, gfpToAllocFlags } from "./gfp.ts";
import { formatGfp } from "./gfp-names.ts";
import type { HighAtomic } from "./high-atomic.ts";
import { COSTLY_ORDER, MigrateType } from "./migrate-types.ts";
import { ZONELIST_ENTRY_WORDS } from "./node.ts";
import type { PageRef } from "./page.ts";
import { PageGlobals } from "./page-globals.ts";
import { type AllocRequest, CompactPriority, CompactResult, TaskRight } from "./reclaim-hooks.ts";
import { watermarkHolds } from "./watermark.ts";
import { Watermark, Zone, type ZoneRef } from "./zone.ts";
import { ZoneIndex } from "./zone-index.ts";
import type { ZonelistWalk } from "./zonelist-walk.ts";

const checks = shape.checks;
const zoneField = Zone;
const A = AllocFlag;
const G = GfpFlag;
const NR_FREE_PAGES = ZoneStat.nr_free_pages;
/** Rounds without progress.  Linux: MAX_RECLAIM_RETRIES, MAX_COMPACT_RETRIES. */
const MAX_RETRIES = 16;

interface Round {
  flags: number;
  /** Whether reclaim, compaction or the OOM killer achieved anything since the last look. */
  progress: boolean;
  withoutProgress: number;
  compactions: number;
  compactPriority: number;
  compactResult: number;
}

export class SlowPath {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly walk: ZonelistWalk;
  private readonly drain: Drain;
  private readonly highAtomic: HighAtomic;
  private readonly locks: SpinLocks;

  constructor(cpu: Cpu, walk: ZonelistWalk, drain: Drain, highAtomic: HighAtomic, locks: SpinLocks) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.walk = walk;
    this.drain = drain;
    this.highAtomic = highAtomic;
    this.locks = locks;
  }

  /** A block by all means that the flags allow; 0 when there is none.  @may-sleep with __GFP_DIRECT_RECLAIM */
  allocate(request: AllocRequest): PageRef {
    if (checks) this.cpu.stack.enter(StackFrame.ALLOC_SLOWPATH);
    const page = this.byAllMeans(request);
    if (checks) this.cpu.stack.leave(StackFrame.ALLOC_SLOWPATH);
    return page;
  }

  private byAllMeans(request: AllocRequest): PageRef {
    const { order } = request;
    const rights = this.walk.hooks.taskRights();
    // Linux: current_gfp_context.
    if ((rights & TaskRight.NOIO) !== 0) request.gfp &= ~(G.IO | G.FS);
    else if ((rights & TaskRight.NOFS) !== 0) request.gfp &= ~G.FS;
    const { gfp } = request;
    const round: Round = {
      flags: gfpToAllocFlags(gfp, order),
      progress: false,
      withoutProgress: 0,
      compactions: 0,
      compactPriority: CompactPriority.SYNC_LIGHT,
      compactResult: CompactResult.COMPLETE,
    };
    if (this.memory.read(request.first) === 0) return 0;
    if ((round.flags & A.KSWAPD) !== 0) this.wakeKswapds(request);
    const page = this.take(request, round.flags) || this.compactFirst(request, round, rights);
    if (page !== 0) return page;
    if (order > COSTLY_ORDER && (gfp & G.NORETRY) !== 0 && round.compactResult <= CompactResult.DEFERRED)
      return 0;
    for (;;) {
      const found =
        this.retry(request, round, rights) || (gfp & G.NOFAIL ? this.takeReserve(request, round) : 0);
      if (found !== 0 || (gfp & G.NOFAIL) === 0) return found;
      if (!round.progress) this.reportNoFail(request);
      round.progress = false;
    }
  }

  /** Rounds of reclaim and compaction until a block is there or nothing more may be tried. */
  private retry(request: AllocRequest, round: Round, rights: number): PageRef {
    const { gfp, order } = request;
    const { hooks } = this.walk;
    for (;;) {
      if ((round.flags & A.KSWAPD) !== 0) this.wakeKswapds(request);
      const reserves = this.reserveRights(gfp, rights);
      if (reserves !== 0) round.flags = reserves | cmaRight(gfp) | (round.flags & A.KSWAPD);
      const page = this.take(request, round.flags);
      if (page !== 0 || !this.mayReclaim(gfp) || (rights & TaskRight.MEMALLOC) !== 0) return page;

      const freed = hooks.directReclaim(request);
      if (freed > 0) round.progress = true;
      const found = this.takeAfterDrain(request, round.flags) || this.compact(request, round);
      if (found !== 0) return found;
      if ((gfp & G.NORETRY) !== 0) return 0;
      const canCompact = (gfp & G.IO) !== 0;
      if (order > COSTLY_ORDER && (!canCompact || (gfp & G.RETRY_MAYFAIL) === 0)) return 0;
      if (this.shouldReclaimAgain(request, round, freed > 0)) continue;
      if (freed > 0 && canCompact && this.shouldCompactAgain(request, round)) continue;
      const killed = this.outOfMemory(request);
      if (killed.page !== 0) return killed.page;
      if ((rights & TaskRight.OOM_VICTIM) !== 0 && (round.flags & A.OOM) !== 0) return 0;
      if (!killed.progress) return 0;
      round.progress = true;
      round.withoutProgress = 0;
    }
  }

  private take(request: AllocRequest, flags: number): PageRef {
    const { gfp, order, first, highestZone, type } = request;
    // Rights to the reserves are the system's, not the user's: its memory policy does not bind them.
    const nodeMask = (flags & A.CPUSET) === 0 || (flags & A.NO_WATERMARKS) !== 0 ? -1 : request.nodeMask;
    return this.walk.take(gfp, order, flags, first, highestZone, type, nodeMask);
  }

  /** Pages may lie on the CPUs' lists, or be kept for others: fetch them, once.  Linux: __alloc_pages_direct_reclaim. */
  private takeAfterDrain(request: AllocRequest, flags: number): PageRef {
    const page = this.take(request, flags);
    if (page !== 0) return page;
    this.highAtomic.unreserve(request, false);
    this.drain.all();
    return this.take(request, flags);
  }

  /** Large blocks need no reclaim when pages can be moved, and unmovable ones are better made than mixed in. */
  private compactFirst(request: AllocRequest, round: Round, rights: number): PageRef {
    const { gfp, order, type } = request;
    const wants = order > COSTLY_ORDER || (order > 0 && type !== MigrateType.MOVABLE);
    if (!wants || !this.mayReclaim(gfp) || (gfp & G.IO) === 0) return 0;
    if (this.reserveRights(gfp, rights) !== 0) return 0;
    const priority = round.compactPriority;
    round.compactPriority = CompactPriority.ASYNC;
    const page = this.compact(request, round);
    const isLastTry = order > COSTLY_ORDER && (gfp & G.NORETRY) !== 0;
    round.compactPriority = isLastTry ? CompactPriority.ASYNC : priority;
    return page;
  }

  /** Linux: __alloc_pages_direct_compact. */
  private compact(request: AllocRequest, round: Round): PageRef {
    if (request.order === 0) return 0;
    const { result, captured } = this.walk.hooks.directCompact(request, round.compactPriority);
    round.compactResult = result;
    if (result === CompactResult.SUCCESS) round.progress = true;
    if (result === CompactResult.SKIPPED || result === CompactResult.DEFERRED) return 0;
    if (captured !== 0) {
      const page = this.walk.frames.pageOf(captured);
      this.walk.prepare(page, request.order, request.gfp);
      return page;
    }
    return this.take(request, round.flags);
  }

  /**
   * Whether another round could help: something was freed, or all that is free and reclaimable together would pass the
   * min mark.  The HIGHATOMIC reserve goes last.  Linux: should_reclaim_retry.
   */
  private shouldReclaimAgain(request: AllocRequest, round: Round, progress: boolean): boolean {
    const { order } = request;
    round.withoutProgress = progress && order <= COSTLY_ORDER ? 0 : round.withoutProgress + 1;
    if (round.withoutProgress <= MAX_RETRIES && this.couldSuffice(request, round.flags)) {
      this.cpu.turn.relax();
      return true;
    }
    return this.highAtomic.unreserve(request, true);
  }

  private couldSuffice(request: AllocRequest, flags: number): boolean {
    const { memory, walk } = this;
    const { order, highestZone } = request;
    for (let entry = request.first; ; entry += ZONELIST_ENTRY_WORDS) {
      const zone = memory.read(entry);
      if (zone === 0) return false;
      if (memory.read(entry + 1) > highestZone) continue;
      const available =
        walk.hooks.reclaimablePages(zone) + walk.vmstat.zoneStateSnapshot(zone, NR_FREE_PAGES);
      const min = memory.read(zone + zoneField.watermark + Watermark.MIN);
      if (watermarkHolds(memory, zone, order, min, highestZone, flags, available)) return true;
    }
  }

  /** Linux: should_compact_retry. */
  private shouldCompactAgain(request: AllocRequest, round: Round): boolean {
    if (request.order === 0 || round.compactResult === CompactResult.SKIPPED) return false;
    const limit = request.order > COSTLY_ORDER ? MAX_RETRIES >> 2 : MAX_RETRIES;
    if (++round.compactions <= limit) return true;
    const hardest = request.order > COSTLY_ORDER ? CompactPriority.SYNC_LIGHT : CompactPriority.SYNC_FULL;
    if (round.compactPriority <= hardest) return false;
    round.compactPriority--;
    round.compactions = 0;
    return true;
  }

  /**
   * One CPU at a time asks for a victim, after a last look at the *high* mark: if memory has come back, nobody need
   * die.  Linux: __alloc_pages_may_oom.
   */
  private outOfMemory(request: AllocRequest): { page: PageRef; progress: boolean } {
    const { gfp, order, highestZone } = request;
    const lock = this.walk.frames.globals + PageGlobals.oomLock;
    if (!this.locks.tryLock(lock)) {
      this.cpu.turn.relax();
      return { page: 0, progress: true };
    }
    const lastLook = { ...request, gfp: (gfp | G.HARDWALL) & ~G.DIRECT_RECLAIM };
    let page = this.take(lastLook, A.WMARK_HIGH | A.CPUSET);
    let progress = false;
    const isSpared =
      order > COSTLY_ORDER || (gfp & (G.RETRY_MAYFAIL | G.THISNODE)) !== 0 || highestZone < ZoneIndex.NORMAL;
    if (page === 0 && !isSpared) {
      progress = this.walk.hooks.outOfMemory(request);
      if (progress && (gfp & G.NOFAIL) !== 0) page = this.take(request, A.NO_WATERMARKS);
    }
    this.locks.unlock(lock);
    return { page, progress };
  }

  /** The last means of a request that must not fail: the reserves of atomic allocations, without emptying them. */
  private takeReserve(request: AllocRequest, round: Round): PageRef {
    return this.take(request, A.MIN_RESERVE | (round.flags & A.CMA));
  }

  private reportNoFail({ gfp, order }: AllocRequest): never {
    const words = `order:${order}, mode:0x${gfp.toString(16)}(${formatGfp(gfp)})`;
    if (!this.mayReclaim(gfp)) bug(`__GFP_NOFAIL without __GFP_DIRECT_RECLAIM: ${words}`);
    bug(`__GFP_NOFAIL allocation cannot succeed, since nothing makes progress any more: ${words}`);
  }

  /** Linux: __gfp_pfmemalloc_flags. */
  private reserveRights(gfp: number, rights: number): number {
    if ((gfp & G.NOMEMALLOC) !== 0) return 0;
    if ((gfp & G.MEMALLOC) !== 0) return A.NO_WATERMARKS;
    if (this.cpu.inInterrupt) return 0;
    if ((rights & TaskRight.MEMALLOC) !== 0) return A.NO_WATERMARKS;
    return (rights & TaskRight.OOM_VICTIM) !== 0 ? A.OOM : 0;
  }

  private mayReclaim(gfp: number): boolean {
    return (gfp & G.DIRECT_RECLAIM) !== 0;
  }

  /** Linux: wake_all_kswapds: one of each node, since the first zone of a node speaks for it. */
  private wakeKswapds(request: AllocRequest): void {
    const { memory } = this;
    let lastNode = -1;
    for (let entry = request.first; ; entry += ZONELIST_ENTRY_WORDS) {
      const zone: ZoneRef = memory.read(entry);
      if (zone === 0) return;
      if (memory.read(entry + 1) > request.highestZone) continue;
      const node = memory.read(zone + zoneField.node);
      if (node === lastNode) continue;
      lastNode = node;
      this.walk.hooks.wakeKswapd(zone, request.order, request.highestZone, request.gfp);
    }
  }
}
