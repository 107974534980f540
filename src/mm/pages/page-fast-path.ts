/**
 * The common case in one straight line: one page of the local node's preferred zone, to or from this CPU's list, while
 * nothing special holds.
 *
 * `take` and `put` do exactly what the general path does (zonelist-walk, page-lists, page-free), or they refuse before
 * anything has changed and the general path does all of it.  They exist because a dozen calls cost more than what they
 * do; test/unit/pages/fast-path.test.ts holds both ways against each other.
 *
 * They are closures, so that V8 knows their `this`: docs/decisions/005.
 *
 * Linux reaches the same by inlining get_page_from_freelist, rmqueue and free_unref_page.
 */

import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import { FRAME_WORDS, frameOf, type Pfn, type Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { NumaStat, VmEvent, ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { GfpFlag, gfpIsSound, gfpMigrateType, gfpZone } from "./gfp.ts";
import { MigrateType, PAGEBLOCK_ORDER, PCP_TYPES } from "./migrate-types.ts";
import { Node } from "./node.ts";
import { PAGE_LINKS, Page, type PageRef, PageType } from "./page.ts";
import { checkNewPage } from "./page-checks.ts";
import { FLAGS_CHECK_AT_PREP, FLAGS_MASK, ZONE_SHIFT } from "./page-flags.ts";
import { PAGEBLOCK_TYPE_MASK, PageGlobals } from "./page-globals.ts";
import { AllocatedPage } from "./page-overlays.ts";
import { BATCH_SCALE_MAX, PcpFlag, PerCpuPages } from "./per-cpu-pages.ts";
import { EVENT_CARRY, PerCpuZonestat, VmEventState } from "./per-cpu-stats.ts";
import { Watermark, ZONE_WORDS, Zone } from "./zone.ts";

const pageField = Page;
const zoneField = Zone;
const pcpField = PerCpuPages;
const { ALLOCATED, PCP } = PageType;
const { MOVABLE } = MigrateType;
const FREE_PAGES = Zone.stat + ZoneStat.nr_free_pages;
const FREE_CMA = Zone.stat + ZoneStat.nr_free_cma;
const HIGH_MARK = Zone.watermark + Watermark.HIGH;
const PGALLOC = VmEventState.event + 2 * VmEvent.pgalloc_dma;
const PGFREE = VmEventState.event + 2 * VmEvent.pgfree;
const HIT = PerCpuZonestat.numaEvent + 2 * NumaStat.numa_hit;
const LOCAL = PerCpuZonestat.numaEvent + 2 * NumaStat.numa_local;
const PRIVATE = AllocatedPage.private;
/** What the general path must see to. */
const SPECIAL = GfpFlag.THISNODE;
const { ZERO, SKIP_ZERO } = GfpFlag;
const { ZERO_PAGE } = Work;
const supported = shape.pageLists === "6.12" && !mutant("pcp-own-unlocked");
/** By the five lowest GFP bits (zone modifiers, mobility): migrate type << 3 | highest zone; -1 where they clash. */
const PLACEMENT = Array.from({ length: 32 }, (_, gfp) =>
  gfpIsSound(gfp) ? (gfpMigrateType(gfp) << 3) | gfpZone(gfp) : -1,
);

export class PageFastPath {
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly locks: SpinLocks;
  declare private readonly zones: Pointer;
  declare private readonly pageblocks: Pointer;
  /** First entry of the local node's zonelist. */
  declare private readonly first: Pointer;
  declare private readonly localNode: number;
  /** Words from CPU 0's part of a zone to this CPU's. */
  declare private readonly zoneOffset: number;
  declare private readonly events: Pointer;
  declare private readonly enabled: boolean;

  constructor(frames: Frames, locks: SpinLocks, cpu: number, localNode: number) {
    const { memory, globals } = frames;
    this.memory = memory;
    this.frames = frames;
    this.locks = locks;
    this.zones = frames.zones;
    this.pageblocks = frames.pageblocks;
    this.first = frames.nodeAt(localNode) + Node.fallback;
    this.localNode = localNode;
    this.zoneOffset = cpu * memory.read(globals + PageGlobals.zonePartWords);
    this.events =
      memory.read(globals + PageGlobals.events) + cpu * memory.read(globals + PageGlobals.perCpuUnitWords);
    this.enabled = supported && memory.read(globals + PageGlobals.groupByMobilityDisabled) === 0;
  }

  /** One page for `gfp`, or 0: ask the general path.  @cpu local   @takes pcp.lock */
  take = (gfp: number): PageRef => {
    if (!this.enabled || (gfp & SPECIAL) !== 0) return 0;
    const { memory, first, zoneOffset } = this;
    const placement = PLACEMENT[gfp & 31];
    const highestZone = placement & 7;
    const type = placement >> 3;
    const zone = memory.read(first);
    if (memory.read(first + 1) > highestZone || zone === 0 || memory.read(zone + zoneField.flags) !== 0)
      return 0;
    if (memory.read(zone + zoneField.node) !== this.localNode || placement < 0) return 0;
    let kept = memory.read(zone + HIGH_MARK) + memory.read(zone + zoneField.watermarkBoost);
    kept += memory.read(zone + zoneField.lowmemReserve + highestZone);
    kept += memory.read(zone + zoneField.nrFreeHighatomic);
    if (type !== MOVABLE) kept += memory.read(zone + FREE_CMA);
    if (memory.read(zone + FREE_PAGES) <= kept) return 0;

    const pcp = memory.read(zone + zoneField.pageset) + zoneOffset;
    const head = pcp + pcpField.lists + 2 * type;
    reached("pcp-own-unlocked");
    if (!this.locks.tryLock(pcp)) return 0;
    const link = memory.read(head);
    if (link === head) {
      this.locks.unlock(pcp);
      return 0;
    }
    const next = memory.read(link);
    memory.write(next + 1, head);
    memory.write(head, next);
    memory.write(pcp + pcpField.count, memory.read(pcp + pcpField.count) - 1);
    memory.write(pcp + pcpField.freeCount, memory.read(pcp + pcpField.freeCount) >> 1);
    this.locks.unlock(pcp);

    const page = link - PAGE_LINKS;
    const state =
      (memory.read(page + pageField.flags) & FLAGS_CHECK_AT_PREP) |
      memory.read(page + pageField.refcount) |
      (memory.read(page + pageField.mapcount) + 1) |
      memory.read(page + pageField.buddy);
    if (state !== 0) checkNewPage(this.frames, page);
    memory.write(page + pageField.type, ALLOCATED);
    memory.write(page + PRIVATE, 0);
    memory.write(page + pageField.refcount, 1);

    const stats = memory.read(zone + zoneField.zonestats) + zoneOffset;
    this.count(this.events + PGALLOC + 2 * memory.read(zone + zoneField.index));
    this.count(stats + HIT);
    this.count(stats + LOCAL);
    if ((gfp & (ZERO | SKIP_ZERO)) === ZERO) {
      memory.work(ZERO_PAGE, 1);
      memory.fill(frameOf(this.frames.pfnOf(page)), FRAME_WORDS, 0);
    }
    return page;
  };

  /** Puts a page whose last reference is gone on this CPU's list; false: ask the general path.  @takes pcp.lock */
  put = (page: PageRef, pfn: Pfn): boolean => {
    const { memory } = this;
    const flags = memory.read(page + pageField.flags);
    const state =
      (flags & FLAGS_MASK) |
      (memory.read(page + pageField.type) ^ ALLOCATED) |
      (memory.read(page + pageField.mapcount) + 1) |
      memory.read(page + pageField.refcount);
    if (!this.enabled || state !== 0) return false;
    const zone = this.zones + (flags >>> ZONE_SHIFT) * ZONE_WORDS;
    const type = memory.read(this.pageblocks + (pfn >> PAGEBLOCK_ORDER)) & PAGEBLOCK_TYPE_MASK;
    if (type >= PCP_TYPES || memory.read(zone + zoneField.flags) !== 0) return false;

    const pcp = memory.read(zone + zoneField.pageset) + this.zoneOffset;
    if (!this.locks.tryLock(pcp)) return false;
    const count = memory.read(pcp + pcpField.count) + 1;
    const isPlain = (memory.read(pcp + pcpField.flags) & PcpFlag.PREV_FREE_HIGH_ORDER) === 0;
    if (count >= memory.read(pcp + pcpField.high) || !isPlain) {
      this.locks.unlock(pcp);
      return false;
    }
    const head = pcp + pcpField.lists + 2 * type;
    const link = page + PAGE_LINKS;
    const next = memory.read(head);
    memory.write(page + pageField.type, PCP);
    memory.write(next + 1, link);
    memory.write(link, next);
    memory.write(link + 1, head);
    memory.write(head, link);
    memory.write(pcp + pcpField.count, count);
    const factor = memory.read(pcp + pcpField.allocFactor);
    if (factor !== 0) memory.write(pcp + pcpField.allocFactor, factor >> 1);
    const freeCount = memory.read(pcp + pcpField.freeCount);
    if (freeCount < memory.read(pcp + pcpField.batch) << BATCH_SCALE_MAX) {
      memory.write(pcp + pcpField.freeCount, freeCount + 1);
    }
    this.locks.unlock(pcp);
    this.count(this.events + PGFREE);
    return true;
  };

  private count(at: Pointer): void {
    const sum = this.memory.read(at) + 1;
    if (sum < EVENT_CARRY) this.memory.write(at, sum);
    else this.carry(at);
  }

  private carry(at: Pointer): void {
    this.memory.write(at, 0);
    this.memory.write(at + 1, this.memory.read(at + 1) + 1);
  }
}
