/**
 * Lock statistics: per CPU and class, in RAM; summed on demand.  Linux: kernel/locking/lockdep.c, /proc/lock_stat.
 *
 * Acquisitions and waits are always counted; hold times need the shape's `lockstat`.  Explore mode counts nothing: each
 * count would be a step.
 *
 * Invariants
 *   I1  contended <= acquisitions, for locks that were not given up waiting for
 *   I2  waitMinNs <= waitMaxNs <= waitNs, and the same for held, while the number of waits is not 0
 *   I3  at rest a CPU holds no lock: its held stack is empty
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import { array, float64, struct, word, wordsIn } from "../memory/struct.ts";
import { TraceEvent } from "../memory/trace.ts";
import type { Pointer } from "../memory/units.ts";
import { LOCK_CLASSES, lockClassName } from "./lock-class.ts";

const counting = shape.mode !== "explore";
/** Whether every lock that is taken or released has more to record than its count. */
export const timing = (shape.lockstat || shape.trace) && counting;

export const LockStat = struct("lock_stat", {
  /** Two words, low one first: whole words cost a third of a float64. */
  acquisitions: word("owner-cpu", "counter"),
  acquisitionsHigh: word("owner-cpu", "counter"),
  contended: float64("owner-cpu"),
  waitNs: float64("owner-cpu"),
  waitMinNs: float64("owner-cpu"),
  waitMaxNs: float64("owner-cpu"),
  heldNs: float64("owner-cpu"),
  heldMinNs: float64("owner-cpu"),
  heldMaxNs: float64("owner-cpu"),
});
const STAT_SHIFT = 4;
if (wordsIn(LockStat) !== 1 << STAT_SHIFT) bug(`struct lock_stat is ${wordsIn(LockStat)} words, expected 16`);

/** Locks that a CPU may hold at once and still have their hold times measured. */
const HELD_MAX = 14;
/** The locks that a CPU holds, in the order it took them; kept with lock statistics only. */
const HeldLocks = struct("held_locks", {
  count: word("owner-cpu", "counter"),
  pad: word("owner-cpu"),
  locks: array(HELD_MAX, "owner-cpu", "pointer:spinlock"),
  sinceNs: float64("owner-cpu", HELD_MAX),
});

const stat = LockStat;
const held = HeldLocks;

export interface LockStatSlots {
  readonly stats: PerCpuSlot;
  readonly held: PerCpuSlot;
}

/** One class summed over CPUs; times in ns, minima 0 when nothing was measured. */
export interface LockTotals {
  readonly classId: number;
  readonly name: string;
  readonly acquisitions: number;
  readonly contended: number;
  readonly waitNs: number;
  readonly waitMinNs: number;
  readonly waitMaxNs: number;
  readonly heldNs: number;
  readonly heldMinNs: number;
  readonly heldMaxNs: number;
}

/** A wait that is going on, and the one that it interrupted. */
export interface LockWait {
  readonly lock: Pointer;
  readonly classId: number;
  readonly outerClass: number;
  readonly outerLock: Pointer;
  readonly beganNs: number;
}

/** The statistics of one CPU. */
export class LockStats {
  /** The counts of class 0; those of class c are 16 c words on. */
  declare readonly counts: Pointer;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly held: Pointer;

  constructor(cpu: Cpu, slots: LockStatSlots) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.counts = slots.stats.of(cpu.id);
    this.held = slots.held.of(cpu.id);
  }

  static declare(image: ImageLayout): LockStatSlots {
    return {
      stats: image.perCpu("lock_stat", LockStat, LOCK_CLASSES),
      held: image.perCpu("held_locks", HeldLocks),
    };
  }

  /** Counts that `lock` was taken; `classAt` is the word with its class. */
  taken(lock: Pointer, classAt: Pointer): void {
    if (!counting) return;
    const classId = this.memory.read(classAt);
    const at = this.counts + (classId << STAT_SHIFT);
    const count = (this.memory.read(at) + 1) | 0;
    this.memory.write(at, count);
    if (count === 0) this.carry(at);
    if (timing) this.holdBegins(lock, classId);
  }

  private carry(at: Pointer): void {
    const high = at + stat.acquisitionsHigh;
    this.memory.write(high, this.memory.read(high) + 1);
  }

  /** `lock`, whose class is in word `classAt`, is about to be released. */
  released(lock: Pointer, classAt: Pointer): void {
    if (timing) this.holdEnds(lock, this.memory.read(classAt));
  }

  /** The slow path of a lock begins: who waits for what is known to reports.  `classAt` is the word with its class. */
  waitBegins(lock: Pointer, classAt: Pointer): LockWait {
    const { cpu } = this;
    const classId = this.memory.read(classAt);
    const wait = { lock, classId, outerClass: cpu.waitClass, outerLock: cpu.waitLock, beganNs: cpu.nowNs() };
    cpu.setLockWait(classId + 1, lock);
    cpu.trace.record(TraceEvent.LOCK_WAIT_BEGIN, classId, lock);
    return wait;
  }

  /** The slow path has ended: counts the wait. */
  waitEnds(wait: LockWait): void {
    const { cpu, memory } = this;
    cpu.trace.record(TraceEvent.LOCK_WAIT_END, wait.classId, wait.lock);
    cpu.setLockWait(wait.outerClass, wait.outerLock);
    if (!counting) return;
    const at = this.counts + (wait.classId << STAT_SHIFT);
    memory.writeFloat64(at + stat.contended, memory.readFloat64(at + stat.contended) + 1);
    this.addTime(at + stat.waitNs, cpu.nowNs() - wait.beganNs);
  }

  /** Forgets everything counted so far. */
  reset(): void {
    this.memory.fill(this.counts, LOCK_CLASSES << STAT_SHIFT, 0);
  }

  private holdBegins(lock: Pointer, classId: number): void {
    const { memory, held: at } = this;
    this.cpu.trace.record(TraceEvent.LOCK_HELD_BEGIN, classId, lock);
    const depth = memory.read(at + held.count);
    memory.write(at + held.count, depth + 1);
    if (depth >= HELD_MAX) return;
    memory.write(at + held.locks + depth, lock);
    memory.writeFloat64(at + held.sinceNs + 2 * depth, this.cpu.nowNs());
  }

  /** Locks may be released in any order: the entry is looked for from the top. */
  private holdEnds(lock: Pointer, classId: number): void {
    const { memory, held: at } = this;
    this.cpu.trace.record(TraceEvent.LOCK_HELD_END, classId, lock);
    const depth = memory.read(at + held.count) - 1;
    memory.write(at + held.count, depth);
    if (depth >= HELD_MAX) return;
    let i = depth;
    while (i > 0 && memory.read(at + held.locks + i) !== lock) i--;
    const since = memory.readFloat64(at + held.sinceNs + 2 * i);
    for (; i < depth; i++) {
      memory.write(at + held.locks + i, memory.read(at + held.locks + i + 1));
      memory.writeFloat64(at + held.sinceNs + 2 * i, memory.readFloat64(at + held.sinceNs + 2 * (i + 1)));
    }
    this.addTime(this.counts + (classId << STAT_SHIFT) + stat.heldNs, this.cpu.nowNs() - since);
  }

  /** Adds to a total that its minimum and maximum follow. */
  private addTime(at: Pointer, ns: number): void {
    const { memory } = this;
    const total = memory.readFloat64(at);
    const min = memory.readFloat64(at + 2);
    memory.writeFloat64(at, total + ns);
    if (total === 0 || ns < min) memory.writeFloat64(at + 2, ns);
    if (ns > memory.readFloat64(at + 4)) memory.writeFloat64(at + 4, ns);
  }
}

type Reader = Pick<Memory, "read" | "readFloat64">;

/** The statistics of `cpus` CPUs, one entry for each class that was taken; longest total wait first. */
export function sumLockStats(memory: Reader, slots: LockStatSlots, cpus: number): LockTotals[] {
  const totals: LockTotals[] = [];
  for (let classId = 0; classId < LOCK_CLASSES; classId++) {
    const of = (field: number): number[] =>
      Array.from({ length: cpus }, (_, cpu) =>
        memory.readFloat64(slots.stats.of(cpu) + (classId << STAT_SHIFT) + field),
      );
    const sum = (field: number): number => of(field).reduce((a, b) => a + b, 0);
    const least = (field: number): number => Math.min(...of(field).filter((ns) => ns > 0));
    let acquisitions = 0;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = slots.stats.of(cpu) + (classId << STAT_SHIFT);
      acquisitions += (memory.read(at) >>> 0) + memory.read(at + stat.acquisitionsHigh) * 2 ** 32;
    }
    if (acquisitions === 0) continue;
    totals.push({
      classId,
      name: lockClassName(classId),
      acquisitions,
      contended: sum(stat.contended),
      waitNs: sum(stat.waitNs),
      waitMinNs: finite(least(stat.waitMinNs)),
      waitMaxNs: Math.max(...of(stat.waitMaxNs)),
      heldNs: sum(stat.heldNs),
      heldMinNs: finite(least(stat.heldMinNs)),
      heldMaxNs: Math.max(...of(stat.heldMaxNs)),
    });
  }
  return totals.sort((a, b) => b.waitNs - a.waitNs || b.acquisitions - a.acquisitions);
}

const finite = (ns: number): number => (ns === Infinity ? 0 : ns);

/** Checks I1 to I3 over `cpus` CPUs at rest. */
export function checkLockStats(memory: Memory, slots: LockStatSlots, cpus: number): void {
  for (const t of sumLockStats(memory, slots, cpus)) {
    if (t.contended > t.acquisitions)
      bug(`I1: ${t.name} was waited for ${t.contended} times and taken ${t.acquisitions} times`);
    if (t.waitMinNs > t.waitMaxNs || t.waitMaxNs > t.waitNs)
      bug(`I2: ${t.name} waits min ${t.waitMinNs}, max ${t.waitMaxNs}, total ${t.waitNs} ns`);
    if (t.heldMinNs > t.heldMaxNs || t.heldMaxNs > t.heldNs)
      bug(`I2: ${t.name} holds min ${t.heldMinNs}, max ${t.heldMaxNs}, total ${t.heldNs} ns`);
  }
  for (let cpu = 0; cpu < cpus; cpu++) {
    const count = memory.read(slots.held.of(cpu) + held.count);
    if (count !== 0) bug(`I3: cpu ${cpu} holds ${count} locks at rest`);
  }
}
