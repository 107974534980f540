/**
 * Counters: per-CPU deltas that are folded into zone, node and machine totals when they pass a threshold, and per-CPU
 * events.
 *
 * Invariants, at rest
 *   S1  zone.stat + sum over CPUs of diff is the true value of a zone counter; likewise for nodes
 *   S2  the machine's total of a counter is the sum of its zones' (nodes') folded values
 *   S3  no delta is beyond its threshold
 *
 * A delta belongs to its CPU and is changed plainly: interrupts are taken only at poll points, and there is none
 * between its read and its write.
 *
 * Linux: mm/vmstat.c.  Differs: NUMA events are added up when they are read, never folded.
 */

import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Frames } from "./frames.ts";
import { Node, type NodeRef } from "./node.ts";
import { PageGlobals } from "./page-globals.ts";
import { EVENT_CARRY, PerCpuNodestat, PerCpuZonestat, VmEventState } from "./per-cpu-stats.ts";
import { Zone, type ZoneRef } from "./zone.ts";

const globalField = PageGlobals;
const zoneField = Zone;
const nodeField = Node;
const zonestatField = PerCpuZonestat;
const nodestatField = PerCpuNodestat;
const eventField = VmEventState;
/** Folds by a plain read and write. */
const foldLost = mutant("vmstat-fold-lost");

export class Vmstat {
  declare readonly memory: Memory;
  declare private readonly globals: Pointer;
  /** Words from CPU 0's per-CPU area to this CPU's. */
  declare private readonly cpuOffset: number;
  declare private readonly unitWords: number;
  /** The same for the counters of a zone. */
  declare private readonly zoneOffset: number;
  declare private readonly zonePartWords: number;
  declare private readonly units: number;
  private readonly eventsOfCpu0: Pointer;
  declare private readonly events: Pointer;

  constructor(memory: Memory, frames: Frames, cpu: number) {
    const { globals } = frames;
    this.memory = memory;
    this.globals = globals;
    this.unitWords = memory.read(globals + globalField.perCpuUnitWords);
    this.units = memory.read(globals + globalField.perCpuUnits);
    this.cpuOffset = cpu * this.unitWords;
    this.zonePartWords = memory.read(globals + globalField.zonePartWords);
    this.zoneOffset = cpu * this.zonePartWords;
    this.eventsOfCpu0 = memory.read(globals + globalField.events);
    this.events = this.eventsOfCpu0 + this.cpuOffset + eventField.event;
  }

  // ---- change ----

  /** Adds `delta` to a zone counter.  Linux: __mod_zone_page_state. */
  modZone(zone: ZoneRef, item: number, delta: number): void {
    const { memory } = this;
    const own = memory.read(zone + zoneField.zonestats) + this.zoneOffset;
    const at = own + zonestatField.diff + item;
    const threshold = memory.read(own + zonestatField.statThreshold);
    const sum = memory.read(at) + delta;
    if (sum <= threshold && sum >= -threshold) {
      memory.write(at, sum);
      return;
    }
    memory.write(at, 0);
    this.foldZone(zone, item, sum);
  }

  /** Linux: __inc_zone_state: past the threshold it folds half of one more, so that a steady climb folds less often. */
  incZone(zone: ZoneRef, item: number): void {
    this.stepZone(zone, item, 1);
  }

  /** Linux: __dec_zone_state. */
  decZone(zone: ZoneRef, item: number): void {
    this.stepZone(zone, item, -1);
  }

  /** Adds `delta` to a node counter.  Linux: __mod_node_page_state. */
  modNode(node: NodeRef, item: number, delta: number): void {
    const { memory } = this;
    const own = memory.read(node + nodeField.nodestats) + this.cpuOffset;
    const at = own + nodestatField.diff + item;
    const threshold = memory.read(own + nodestatField.statThreshold);
    const sum = memory.read(at) + delta;
    if (sum <= threshold && sum >= -threshold) {
      memory.write(at, sum);
      return;
    }
    memory.write(at, 0);
    this.foldNode(node, item, sum);
  }

  /** Counts `count` events.  Linux: __count_vm_events. */
  countEvents(item: number, count: number): void {
    this.bump(this.events + 2 * item, count);
  }

  /** Counts one NUMA event of `zone`.  Linux: __count_numa_event. */
  countNuma(zone: ZoneRef, item: number): void {
    const { memory } = this;
    this.bump(
      memory.read(zone + zoneField.zonestats) + this.zoneOffset + zonestatField.numaEvent + 2 * item,
      1,
    );
  }

  // ---- read ----

  /** The folded value, never below 0.  Linux: zone_page_state. */
  zoneState(zone: ZoneRef, item: number): number {
    return Math.max(0, this.memory.read(zone + zoneField.stat + item));
  }

  /** Folded value plus all CPUs' deltas.  Linux: zone_page_state_snapshot. */
  zoneStateSnapshot(zone: ZoneRef, item: number): number {
    const { memory } = this;
    let sum = memory.read(zone + zoneField.stat + item);
    let diff = memory.read(zone + zoneField.zonestats) + zonestatField.diff + item;
    for (let cpu = 0; cpu < this.units; cpu++, diff += this.zonePartWords) sum += memory.read(diff);
    return Math.max(0, sum);
  }

  /** Linux: node_page_state. */
  nodeState(node: NodeRef, item: number): number {
    return Math.max(0, this.memory.read(node + nodeField.stat + item));
  }

  /** Folded value plus all CPUs' deltas. */
  nodeStateSnapshot(node: NodeRef, item: number): number {
    const { memory } = this;
    let sum = memory.read(node + nodeField.stat + item);
    let diff = memory.read(node + nodeField.nodestats) + nodestatField.diff + item;
    for (let cpu = 0; cpu < this.units; cpu++, diff += this.unitWords) sum += memory.read(diff);
    return Math.max(0, sum);
  }

  /** Machine total of a zone counter.  Linux: global_zone_page_state. */
  globalZoneState(item: number): number {
    return Math.max(0, this.memory.read(this.globals + globalField.zoneStat + item));
  }

  /** Machine total of a node counter.  Linux: global_node_page_state. */
  globalNodeState(item: number): number {
    return Math.max(0, this.memory.read(this.globals + globalField.nodeStat + item));
  }

  /** Sum of an event over all CPUs.  Linux: all_vm_events. */
  eventTotal(item: number): number {
    let sum = 0;
    let at = this.eventsOfCpu0 + eventField.event + 2 * item;
    for (let cpu = 0; cpu < this.units; cpu++, at += this.unitWords) sum += this.eventAt(at);
    return sum;
  }

  /** An event as one CPU has counted it.  Linux: per_cpu(vm_event_states, cpu).event[item]. */
  eventOf(cpu: number, item: number): number {
    return this.eventAt(this.eventsOfCpu0 + eventField.event + 2 * item + cpu * this.unitWords);
  }

  /** Sum of a NUMA event of `zone` over all CPUs.  Linux: zone_numa_event_state. */
  numaTotal(zone: ZoneRef, item: number): number {
    let sum = 0;
    let at = this.memory.read(zone + zoneField.zonestats) + zonestatField.numaEvent + 2 * item;
    for (let cpu = 0; cpu < this.units; cpu++, at += this.zonePartWords) sum += this.eventAt(at);
    return sum;
  }

  // ---- fold ----

  /** Moves all deltas of this CPU for one zone into the totals; returns how many there were. */
  foldZoneDeltas(zone: ZoneRef, items: number): number {
    return this.foldDeltas(
      zone,
      this.memory.read(zone + zoneField.zonestats) + zonestatField.diff,
      items,
      true,
    );
  }

  /** Moves all deltas of this CPU for one node into the totals; returns how many there were. */
  foldNodeDeltas(node: NodeRef, items: number): number {
    return this.foldDeltas(
      node,
      this.memory.read(node + nodeField.nodestats) + nodestatField.diff,
      items,
      false,
    );
  }

  private bump(at: Pointer, count: number): void {
    const sum = this.memory.read(at) + count;
    if (sum < EVENT_CARRY) this.memory.write(at, sum);
    else this.carry(at, sum);
  }

  private carry(at: Pointer, sum: number): void {
    this.memory.write(at, sum - EVENT_CARRY);
    this.memory.write(at + 1, this.memory.read(at + 1) + 1);
  }

  private eventAt(at: Pointer): number {
    return this.memory.read(at) + EVENT_CARRY * this.memory.read(at + 1);
  }

  private foldDeltas(owner: Pointer, diffOfCpu0: Pointer, items: number, isZone: boolean): number {
    const { memory } = this;
    const first = diffOfCpu0 + (isZone ? this.zoneOffset : this.cpuOffset);
    let folded = 0;
    for (let item = 0; item < items; item++) {
      const delta = memory.read(first + item);
      if (delta === 0) continue;
      memory.write(first + item, 0);
      if (isZone) this.foldZone(owner, item, delta);
      else this.foldNode(owner, item, delta);
      folded++;
    }
    return folded;
  }

  private stepZone(zone: ZoneRef, item: number, step: number): void {
    const { memory } = this;
    const own = memory.read(zone + zoneField.zonestats) + this.zoneOffset;
    const at = own + zonestatField.diff + item;
    const threshold = memory.read(own + zonestatField.statThreshold);
    const sum = memory.read(at) + step;
    if (sum <= threshold && sum >= -threshold) {
      memory.write(at, sum);
      return;
    }
    const overstep = step * (threshold >> 1);
    memory.write(at, -overstep);
    this.foldZone(zone, item, sum + overstep);
  }

  /** Linux: zone_page_state_add. */
  private foldZone(zone: ZoneRef, item: number, delta: number): void {
    this.addTotal(zone + zoneField.stat + item, delta);
    this.memory.add(this.globals + globalField.zoneStat + item, delta);
  }

  /** Linux: node_page_state_add. */
  private foldNode(node: NodeRef, item: number, delta: number): void {
    this.addTotal(node + nodeField.stat + item, delta);
    this.memory.add(this.globals + globalField.nodeStat + item, delta);
  }

  private addTotal(address: Pointer, delta: number): void {
    reached("vmstat-fold-lost");
    if (foldLost) this.memory.write(address, this.memory.read(address) + delta);
    else this.memory.add(address, delta);
  }
}
