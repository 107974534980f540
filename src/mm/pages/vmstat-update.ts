/**
 * What each CPU does once a second: folds its counter deltas, and gives back pages that its lists keep for too long.
 *
 * Linux: mm/vmstat.c vmstat_update, refresh_cpu_vm_stats.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { NODE_STAT_NAMES, ZONE_STAT_NAMES } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { PageGlobals } from "./page-globals.ts";
import type { PageLists } from "./page-lists.ts";
import { PerCpuPages } from "./per-cpu-pages.ts";
import { VmEventState } from "./per-cpu-stats.ts";
import type { Vmstat } from "./vmstat.ts";
import { Zone, type ZoneRef } from "./zone.ts";

const zoneField = Zone;
const pcpField = PerCpuPages;
/** sysctl_stat_interval. */
const INTERVAL_NS = 1e9;
/** Updates after which the lists of a remote node begin to empty. */
const REMOTE_EXPIRES = 3;

export class VmstatUpdate {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly frames: Frames;
  private readonly vmstat: Vmstat;
  private readonly lists: PageLists;
  private readonly localNode: number;
  private readonly zones: readonly ZoneRef[];
  /** Word of this CPU that says when the next update is due. */
  private readonly due: Pointer;

  constructor(cpu: Cpu, vmstat: Vmstat, lists: PageLists, localNode: number) {
    const { frames, memory } = lists;
    const unitWords = memory.read(frames.globals + PageGlobals.perCpuUnitWords);
    this.cpu = cpu;
    this.memory = memory;
    this.frames = frames;
    this.vmstat = vmstat;
    this.lists = lists;
    this.localNode = localNode;
    this.zones = frames.populatedZones();
    this.due =
      memory.read(frames.globals + PageGlobals.events) + cpu.id * unitWords + VmEventState.nextUpdateNs;
  }

  /** For the timer tick: updates when it is time. */
  tick(): void {
    const now = this.cpu.nowNs();
    const due = this.memory.readFloat64(this.due);
    if (now < due) return;
    this.memory.writeFloat64(this.due, now + INTERVAL_NS);
    // The first tick after boot only sets the time.
    if (due !== 0) this.update();
  }

  /** Returns whether there was anything to do.  @cpu local   @takes pcp.lock   @takes zone.lock */
  update(): boolean {
    let changes = 0;
    for (const zone of this.zones) changes += this.updateZone(zone);
    for (let node = 0; node < this.frames.nodeCount; node++) {
      changes += this.vmstat.foldNodeDeltas(this.frames.nodeAt(node), NODE_STAT_NAMES.length);
    }
    return changes > 0;
  }

  /** Before a long sleep: folds, and leaves the lists as they are.  Linux: quiet_vmstat.  @cpu local */
  quiet(): void {
    for (const zone of this.zones) this.vmstat.foldZoneDeltas(zone, ZONE_STAT_NAMES.length);
    for (let node = 0; node < this.frames.nodeCount; node++) {
      this.vmstat.foldNodeDeltas(this.frames.nodeAt(node), NODE_STAT_NAMES.length);
    }
  }

  private updateZone(zone: ZoneRef): number {
    const { memory } = this;
    const pcp = this.lists.listsOf(zone, this.cpu.id);
    let changes = this.vmstat.foldZoneDeltas(zone, ZONE_STAT_NAMES.length);
    if (changes > 0) memory.write(pcp + pcpField.expire, REMOTE_EXPIRES);
    if (this.lists.decay(zone)) changes++;
    const expire = memory.read(pcp + pcpField.expire);
    if (expire === 0 || memory.read(pcp + pcpField.count) === 0) return changes;
    if (memory.read(zone + zoneField.node) === this.localNode) {
      memory.write(pcp + pcpField.expire, 0);
      return changes;
    }
    memory.write(pcp + pcpField.expire, expire - 1);
    if (expire === 1) this.lists.drainBatch(zone);
    return changes + 1;
  }
}
