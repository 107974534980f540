/**
 * Giving all CPUs' page lists back to their zones, for allocations that would otherwise fail and for isolation.
 *
 * Linux: mm/page_alloc.c __drain_all_pages, drain_local_pages.
 */

import type { SpinLocks } from "../../sync/spinlock.ts";
import type { Frames } from "./frames.ts";
import { PageGlobals } from "./page-globals.ts";
import type { PageLists } from "./page-lists.ts";
import { PerCpuPages } from "./per-cpu-pages.ts";
import type { ZoneRef } from "./zone.ts";

const globalField = PageGlobals;
const pcpField = PerCpuPages;

export class Drain {
  private readonly frames: Frames;
  private readonly lists: PageLists;
  private readonly locks: SpinLocks;
  private readonly zones: readonly ZoneRef[];
  private readonly cpus: number;

  constructor(lists: PageLists, locks: SpinLocks) {
    this.frames = lists.frames;
    this.lists = lists;
    this.locks = locks;
    this.zones = lists.frames.populatedZones();
    this.cpus = lists.memory.read(lists.frames.globals + globalField.perCpuUnits);
  }

  /**
   * Drains every CPU's lists of every zone, by this CPU alone.  While another CPU is at it there is nothing to gain: it
   * returns at once.  Linux: drain_all_pages.
   * @takes drain_lock   @takes pcp.lock   @takes zone.lock
   */
  all(): void {
    const lock = this.frames.globals + globalField.drainLock;
    if (!this.locks.tryLock(lock)) return;
    for (const zone of this.zones) this.allOfZone(zone);
    this.locks.unlock(lock);
  }

  /** Drains every CPU's lists of `zone`, waiting for a drain in progress: none of its pages was listed before. */
  zone(zone: ZoneRef): void {
    const lock = this.frames.globals + globalField.drainLock;
    this.locks.lock(lock);
    this.allOfZone(zone);
    this.locks.unlock(lock);
  }

  /** Drains one CPU's lists of all zones.  Linux: drain_pages. */
  cpu(cpu: number): void {
    for (const zone of this.zones) this.lists.drain(zone, cpu);
  }

  private allOfZone(zone: ZoneRef): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const pcp = this.lists.listsOf(zone, cpu);
      if (this.lists.memory.read(pcp + pcpField.count) !== 0) this.lists.drain(zone, cpu);
    }
  }
}
