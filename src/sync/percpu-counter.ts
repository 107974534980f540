/**
 * Counters that many CPUs add to, in three forms, so that they can be compared.
 *
 * `PerCpuCounters`: a 32-bit part on each CPU's own line, folded into the common count, under its lock, when it has grown
 * to the batch.  Reading the common count is cheap and off by less than batch * CPUs; the sum is exact at rest.
 * `ArrayCounters`: one word a CPU, side by side as in `int counter[NR_CPUS]`: sixteen CPUs share a cache line.
 * `AtomicCounters`: one word for all.
 *
 * Invariants, at rest
 *   N1  |part| < batch on each CPU
 *   N2  count + sum of parts == everything that was added
 *
 * Linux: lib/percpu_counter.c.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, float64, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass } from "./lock-class.ts";
import type { PerCpu } from "./percpu.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const PerCpuCounter = struct("percpu_counter", {
  lock: embed(SpinLock, "atomic"),
  count: float64("hint:lock:percpu_counter.lock"),
  /** The parts: per-CPU memory of one word. */
  parts: word("boot", "pointer:percpu"),
  pad: word("boot"),
});
const counter = PerCpuCounter;

/** Linux: compute_batch_value. */
export const counterBatch = (cpus: number): number => Math.max(32, 2 * cpus);

export class PerCpuCounters {
  readonly batch: number;
  private readonly memory: Memory;
  private readonly locks: SpinLocks;
  private readonly perCpu: PerCpu;
  private readonly cpus: number;

  constructor(parts: { memory: Memory; locks: SpinLocks; perCpu: PerCpu; cpus: number }) {
    this.memory = parts.memory;
    this.locks = parts.locks;
    this.perCpu = parts.perCpu;
    this.cpus = parts.cpus;
    this.batch = counterBatch(parts.cpus);
  }

  /** Makes the words at `at` a counter; false when there is no per-CPU memory.  Linux: percpu_counter_init. */
  init(at: Pointer, amount: number): boolean {
    const parts = this.perCpu.alloc(4, 4);
    if (parts === 0) return false;
    this.locks.format(at + counter.lock, LockClass.PERCPU_COUNTER);
    this.memory.write(at + counter.parts, parts);
    this.memory.writeFloat64(at + counter.count, amount);
    return true;
  }

  /** Linux: percpu_counter_destroy. */
  destroy(at: Pointer): void {
    this.perCpu.free(this.memory.read(at + counter.parts));
    this.memory.write(at + counter.parts, 0);
  }

  /** Linux: percpu_counter_add_batch. */
  add(at: Pointer, amount: number, batch = this.batch): void {
    const { perCpu, memory } = this;
    const parts = memory.read(at + counter.parts);
    const part = perCpu.read(parts) + amount;
    if (part > -batch && part < batch) perCpu.write(parts, part);
    else this.fold(at, parts, amount);
  }

  increment(at: Pointer): void {
    this.add(at, 1);
  }

  /** About the value.  Linux: percpu_counter_read. */
  read(at: Pointer): number {
    return this.memory.readFloat64(at + counter.count);
  }

  /** Linux: percpu_counter_read_positive. */
  readPositive(at: Pointer): number {
    return Math.max(0, this.read(at));
  }

  /** The value; exact at rest.  Linux: percpu_counter_sum. */
  sum(at: Pointer): number {
    const { memory, locks, perCpu } = this;
    const flags = locks.lockIrqSave(at + counter.lock);
    const sum = memory.readFloat64(at + counter.count) + perCpu.sum(memory.read(at + counter.parts));
    locks.unlockIrqRestore(at + counter.lock, flags);
    return sum;
  }

  /** The other CPUs must not add meanwhile.  Linux: percpu_counter_set. */
  set(at: Pointer, amount: number): void {
    const { memory, locks, perCpu, cpus } = this;
    const parts = memory.read(at + counter.parts);
    const flags = locks.lockIrqSave(at + counter.lock);
    for (let cpu = 0; cpu < cpus; cpu++) memory.write(perCpu.of(parts, cpu), 0);
    memory.writeFloat64(at + counter.count, amount);
    locks.unlockIrqRestore(at + counter.lock, flags);
  }

  /** Sign of the value - `other`: by the rough value where that is enough.  Linux: percpu_counter_compare. */
  compare(at: Pointer, other: number): number {
    const rough = this.read(at) - other;
    return Math.sign(Math.abs(rough) > this.batch * this.cpus ? rough : this.sum(at) - other);
  }

  /** N1. */
  check(at: Pointer): void {
    const parts = this.memory.read(at + counter.parts);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const part = this.memory.read(this.perCpu.of(parts, cpu));
      if (Math.abs(part) >= this.batch)
        bug(`percpu_counter at word ${at}: part ${part} of cpu ${cpu} has reached the batch ${this.batch}`);
    }
  }

  private fold(at: Pointer, parts: Pointer, amount: number): void {
    const { memory, locks, perCpu } = this;
    const flags = locks.lockIrqSave(at + counter.lock);
    // Read again: with interrupts on, a handler may have added to the part.
    const part = perCpu.exchange(parts, 0) + amount;
    memory.writeFloat64(at + counter.count, memory.readFloat64(at + counter.count) + part);
    locks.unlockIrqRestore(at + counter.lock, flags);
  }
}

/** Each CPU counts in its own word of an array: no lock, no atomics, and no cache line of its own. */
export class ArrayCounters {
  private readonly memory: Memory;
  private readonly cpu: number;
  private readonly cpus: number;

  constructor(memory: Memory, cpu: number, cpus: number) {
    this.memory = memory;
    this.cpu = cpu;
    this.cpus = cpus;
  }

  /** `at`: the array's first word.  @cpu local */
  add(at: Pointer, amount: number): void {
    const own = at + this.cpu;
    this.memory.write(own, this.memory.read(own) + amount);
  }

  /** Exact at rest. */
  sum(at: Pointer): number {
    let sum = 0;
    for (let cpu = 0; cpu < this.cpus; cpu++) sum += this.memory.read(at + cpu);
    return sum;
  }
}

/** All CPUs count in one word.  Linux: atomic_t. */
export class AtomicCounters {
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  add(at: Pointer, amount: number): void {
    this.memory.add(at, amount);
  }

  sum(at: Pointer): number {
    return this.memory.load(at);
  }
}
