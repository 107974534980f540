/**
 * Calls of functions on other CPUs.
 *
 * A caller owns one call record for each CPU it may call (its own, so that nobody shares its cache line), pushes it onto
 * the target's queue without a lock, and interrupts the target only when that queue was empty: whoever found it empty
 * has an interrupt on its way that takes all.  The target runs the functions on its own thread, first those that a
 * caller waits for.
 *
 *   flags of a record:   0 --lock, fill, push--> LOCK [| SYNC] --target--> 0
 *                        SYNC records are unlocked after the function has run, the others before
 *
 * Invariants, at rest
 *   P1  every queue is empty
 *   P2  no record is locked
 *
 * Linux: kernel/smp.c.  Differs: the record of a synchronous single call is per CPU, not on the stack.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { StackFrame } from "../hardware/stack-frames.ts";
import { Vector } from "../hardware/vectors.ts";
import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import { struct, word, wordsIn } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { type CpuMasks, cpuMask } from "./cpumask.ts";
import type { FunctionId, Functions } from "./functions.ts";
import type { OnlineCpus } from "./online.ts";

export const CallSingleData = struct("call_single_data", {
  /** The record pushed before this one; 0 ends the queue. */
  next: word("holder", "pointer:call_single_data"),
  flags: word("atomic", "flags"),
  functionId: word("holder", "functionId"),
  argument: word("holder"),
});
const checks = shape.checks;
const RECORD_WORDS = wordsIn(CallSingleData);
const csd = CallSingleData;

const CallSingleQueue = struct("call_single_queue", {
  /** The record pushed last. */
  first: word("atomic", "pointer:call_single_data"),
});

/** Masks of the call to many that is being made by this CPU. */
const CallFunctionData = struct("call_function_data", {
  targets: cpuMask("owner-cpu"),
  interrupts: cpuMask("owner-cpu"),
});
const cfd = CallFunctionData;

const LOCK = 1;
const SYNC = 2;

export interface CallSlots {
  readonly queue: PerCpuSlot;
  readonly masks: PerCpuSlot;
  /** One record a target. */
  readonly records: PerCpuSlot;
  /** The record of an asynchronous single call, then that of a synchronous one. */
  readonly single: PerCpuSlot;
}

export interface CallParts {
  readonly cpu: Cpu;
  readonly masks: CpuMasks;
  readonly online: OnlineCpus;
  readonly functions: Functions;
  readonly slots: CallSlots;
}

export class CrossCalls {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly masks: CpuMasks;
  private readonly online: OnlineCpus;
  private readonly functions: Functions;
  private readonly slots: CallSlots;
  private readonly queue: Pointer;
  private readonly records: Pointer;
  private readonly targets: Pointer;
  private readonly interrupts: Pointer;

  constructor(parts: CallParts) {
    const { cpu, slots } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.masks = parts.masks;
    this.online = parts.online;
    this.functions = parts.functions;
    this.slots = slots;
    this.queue = slots.queue.of(cpu.id);
    this.records = slots.records.of(cpu.id);
    this.targets = slots.masks.of(cpu.id) + cfd.targets;
    this.interrupts = slots.masks.of(cpu.id) + cfd.interrupts;
    cpu.onInterrupt(Vector.CALL_FUNCTION, () => {
      if (checks) cpu.stack.enter(StackFrame.CALL_FUNCTIONS);
      this.flush();
      if (checks) cpu.stack.leave(StackFrame.CALL_FUNCTIONS);
    });
  }

  static declare(layout: ImageLayout, cpus: number): CallSlots {
    return {
      queue: layout.perCpu("call_single_queue", CallSingleQueue),
      masks: layout.perCpu("cfd_data", CallFunctionData),
      records: layout.perCpu("cfd_csd", CallSingleData, cpus),
      single: layout.perCpu("csd_data", CallSingleData, 2),
    };
  }

  // ---- one CPU ----

  /**
   * Runs function `id` on `target` with `argument`; with `wait`, returns after it has run.  -ENXIO when the target is
   * not online.  Linux: kernel/smp.c smp_call_function_single.
   * @irqs on
   */
  single(target: number, id: FunctionId, argument: number, wait: boolean): number {
    const { cpu, memory } = this;
    this.assertCallable("smp_call_function_single");
    if (target === cpu.id) {
      this.runHere(id, argument);
      return 0;
    }
    if (!this.online.has(target)) return -Errno.ENXIO;
    cpu.preemptDisable();
    const record = this.slots.single.of(cpu.id) + (wait ? RECORD_WORDS : 0);
    this.waitUnlocked(record);
    this.fill(record, id, argument, wait ? LOCK | SYNC : LOCK);
    if (this.push(record, target)) cpu.sendInterrupt(target, Vector.CALL_FUNCTION);
    if (wait) memory.waitWhile(record + csd.flags, LOCK, LOCK);
    cpu.preemptEnable();
    return 0;
  }

  // ---- many CPUs ----

  /** Runs function `id` on the online CPUs of `mask` but this one.  Linux: smp_call_function_many.  @irqs on */
  many(mask: Pointer, id: FunctionId, argument: number, wait: boolean): void {
    this.assertCallable("smp_call_function_many");
    this.cpu.preemptDisable();
    this.callMany(mask, id, argument, wait, null);
    this.cpu.preemptEnable();
  }

  /** Runs function `id` on all other online CPUs.  Linux: smp_call_function.  @irqs on */
  others(id: FunctionId, argument: number, wait: boolean): void {
    this.many(this.online.mask, id, argument, wait);
  }

  /** Runs function `id` on all online CPUs, this one included.  Linux: on_each_cpu.  @irqs on */
  onEach(id: FunctionId, argument: number, wait: boolean): void {
    this.onEachOf(this.online.mask, id, argument, wait);
  }

  /**
   * Runs function `id` on the online CPUs of `mask`, on this one too if it is among them, and there with interrupts
   * off.  With `condition`, only where it holds; it is asked here, just before each CPU is called.
   * Linux: on_each_cpu_cond_mask.
   * @irqs on
   */
  onEachOf(
    mask: Pointer,
    id: FunctionId,
    argument: number,
    wait: boolean,
    condition: ((cpu: number) => boolean) | null = null,
  ): void {
    const { cpu } = this;
    this.assertCallable("on_each_cpu");
    cpu.preemptDisable();
    const here = this.masks.has(mask, cpu.id) && (condition === null || condition(cpu.id));
    this.callMany(mask, id, argument, wait, condition, here);
    cpu.preemptEnable();
  }

  // ---- the target's side ----

  /** Runs what others have asked of this CPU.  Linux: __flush_smp_call_function_queue.  @irqs off  @cpu local */
  flush(): void {
    const { memory } = this;
    const taken = memory.exchange(this.queue, 0);
    if (taken === 0) return;
    const oldest = this.reverse(taken);
    // Somebody waits for the synchronous ones.  A record belongs to its sender again as soon as it is unlocked: what is
    // needed of it is read before.
    let first = 0;
    let last = 0;
    for (let record = oldest; record !== 0; ) {
      const next = memory.read(record + csd.next);
      if ((memory.load(record + csd.flags) & SYNC) !== 0) {
        this.functions.call(memory.read(record + csd.functionId), memory.read(record + csd.argument), 0);
        this.unlock(record);
      } else {
        if (first === 0) first = record;
        else memory.write(last + csd.next, record);
        memory.write(record + csd.next, 0);
        last = record;
      }
      record = next;
    }
    for (let record = first; record !== 0; ) {
      const next = memory.read(record + csd.next);
      const id = memory.read(record + csd.functionId);
      const argument = memory.read(record + csd.argument);
      this.unlock(record);
      this.functions.call(id, argument, 0);
      record = next;
    }
  }

  /** P1, P2. */
  check(): void {
    const { memory, slots } = this;
    const { cpus } = this.masks;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const queued = memory.read(slots.queue.of(cpu));
      if (queued !== 0) bug(`cpu ${cpu}: call_single_queue holds record ${queued} at rest`);
    }
    for (let cpu = 0; cpu < cpus; cpu++) {
      for (let target = 0; target < cpus; target++) {
        this.assertUnlocked(slots.records.of(cpu) + target * RECORD_WORDS, `of cpu ${cpu} to cpu ${target}`);
      }
      this.assertUnlocked(slots.single.of(cpu), `of cpu ${cpu} to one, asynchronous,`);
      this.assertUnlocked(slots.single.of(cpu) + RECORD_WORDS, `of cpu ${cpu} to one, synchronous,`);
    }
  }

  private assertUnlocked(record: Pointer, whose: string): void {
    const flags = this.memory.read(record + csd.flags);
    if (flags !== 0) bug(`call record ${whose} has flags ${flags} at rest`);
  }

  private callMany(
    mask: Pointer,
    id: FunctionId,
    argument: number,
    wait: boolean,
    condition: ((cpu: number) => boolean) | null,
    here = false,
  ): void {
    const { cpu, masks, memory, targets, interrupts, records } = this;
    masks.and(targets, mask, this.online.mask);
    masks.removeOwn(targets, cpu.id);
    masks.clear(interrupts);
    for (let target = masks.next(targets, -1); target >= 0; target = masks.next(targets, target)) {
      if (condition !== null && !condition(target)) {
        masks.removeOwn(targets, target);
        continue;
      }
      const record = records + target * RECORD_WORDS;
      this.waitUnlocked(record);
      this.fill(record, id, argument, wait ? LOCK | SYNC : LOCK);
      if (this.push(record, target)) masks.addOwn(interrupts, target);
    }
    for (let target = masks.next(interrupts, -1); target >= 0; target = masks.next(interrupts, target)) {
      cpu.sendInterrupt(target, Vector.CALL_FUNCTION);
    }
    if (here) this.runHere(id, argument);
    if (!wait) return;
    for (let target = masks.next(targets, -1); target >= 0; target = masks.next(targets, target)) {
      memory.waitWhile(records + target * RECORD_WORDS + csd.flags, LOCK, LOCK);
    }
  }

  private runHere(id: FunctionId, argument: number): void {
    const flags = this.cpu.irqSave();
    this.functions.call(id, argument, 0);
    this.cpu.irqRestore(flags);
  }

  /** A record is this CPU's again once its target has unlocked it.  Linux: csd_lock. */
  private waitUnlocked(record: Pointer): void {
    if ((this.memory.load(record + csd.flags) & LOCK) !== 0) {
      this.memory.waitWhile(record + csd.flags, LOCK, LOCK);
    }
  }

  private fill(record: Pointer, id: FunctionId, argument: number, flags: number): void {
    this.memory.write(record + csd.functionId, id);
    this.memory.write(record + csd.argument, argument);
    this.memory.store(record + csd.flags, flags);
  }

  /** Puts `record` onto the queue of `target`; whether the queue was empty.  Linux: llist_add. */
  private push(record: Pointer, target: number): boolean {
    const { memory } = this;
    const queue = this.slots.queue.of(target);
    let first = memory.load(queue);
    for (;;) {
      memory.write(record + csd.next, first);
      const found = memory.cas(queue, first, record);
      if (found === first) return first === 0;
      first = found;
    }
  }

  /** Oldest first.  Linux: llist_reverse_order. */
  private reverse(newest: Pointer): Pointer {
    const { memory } = this;
    let reversed = 0;
    for (let record = newest; record !== 0; ) {
      const next = memory.read(record + csd.next);
      memory.write(record + csd.next, reversed);
      reversed = record;
      record = next;
    }
    return reversed;
  }

  /** Linux: csd_unlock. */
  private unlock(record: Pointer): void {
    this.memory.store(record + csd.flags, 0);
    this.memory.wake(record + csd.flags);
  }

  /** Two CPUs that call each other with interrupts off would wait for each other for ever. */
  private assertCallable(name: string): void {
    const { cpu } = this;
    if (!cpu.irqsEnabled || cpu.inInterrupt) {
      bug(
        `cpu ${cpu.id}: ${name} with interrupts ${cpu.irqsEnabled ? "on" : "off"}${cpu.inInterrupt ? " in an interrupt" : ""}: ` +
          "may deadlock",
      );
    }
  }
}
