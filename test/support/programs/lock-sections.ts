/**
 * Every CPU adds to one word under one spinlock, `sections` times, with random work inside and outside, sometimes with
 * interrupts off, sometimes by trylock.  The word is accessed plainly: a lock that lets two in loses an addition.
 * CPUs interrupt each other; the handler, often in the middle of a wait for the first lock, adds under a second one.
 */

import { Vector } from "../../../src/hardware/vectors.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { sumLockStats } from "../../../src/sync/lock-stat.ts";
import { checkSpinLocks, REFUSED, SpinLocks } from "../../../src/sync/spinlock.ts";
import { syncImage } from "./sync-image.ts";

const Offset = { LOCK: 0, COUNTER: 16, INSIDE: 17, IRQ_LOCK: 32, IRQ_COUNTER: 48, HANDLED: 64 } as const;

/** CPUs that have the handler: a machine may run the program many times. */
const installed = new WeakSet<object>();

function parts(kernel: Kernel, options: ProgramOptions) {
  const { slots, data } = syncImage(kernel, () => null);
  return {
    slots,
    data,
    locks: new SpinLocks(kernel.cpu, slots, options.paravirtual ? { paravirtual: true } : {}),
  };
}

export function setup(kernel: Kernel, options: ProgramOptions): null {
  const { data, locks } = parts(kernel, options);
  kernel.memory.fill(data, Offset.HANDLED + kernel.cpus, 0);
  locks.format(data + Offset.IRQ_LOCK, LockClass.TEST_B);
  locks.format(data + Offset.LOCK, LockClass.TEST_A);
  return null;
}

export function run(kernel: Kernel, options: ProgramOptions): unknown {
  const { memory, cpu } = kernel;
  const { data, locks } = parts(kernel, options);
  const sections = Number(options.sections);
  const lock = data + Offset.LOCK;
  let refused = 0;
  const interrupts = Number(options.interrupts ?? 0);
  if (interrupts > 0 && !installed.has(cpu)) {
    installed.add(cpu);
    cpu.onInterrupt(Vector.USER_0, () => {
      locks.lock(data + Offset.IRQ_LOCK);
      addTo(data + Offset.IRQ_COUNTER);
      spin(cpu.random.below(20));
      locks.unlock(data + Offset.IRQ_LOCK);
      addTo(data + Offset.HANDLED + cpu.id);
    });
  }
  const addTo = (word: number): void => memory.write(word, memory.read(word) + 1);
  const section = (): void => {
    if (memory.read(data + Offset.INSIDE) !== 0) throw new Error("two CPUs are inside one spinlock");
    memory.write(data + Offset.INSIDE, 1);
    addTo(data + Offset.COUNTER);
    spin(cpu.random.below(20));
    memory.write(data + Offset.INSIDE, 0);
  };
  let longestNs = 0;
  kernel.phase("sections", () => {
    for (let done = 0; done < sections; ) {
      const way = cpu.random.below(8);
      const began = cpu.nowNs();
      if (way === 0) {
        const flags = locks.lockIrqSave(lock);
        section();
        locks.unlockIrqRestore(lock, flags);
        done++;
      } else if (way === 1) {
        const flags = locks.tryLockIrqSave(lock);
        if (flags !== REFUSED) {
          section();
          locks.unlockIrqRestore(lock, flags);
          done++;
        } else refused++;
      } else {
        locks.lock(lock);
        section();
        locks.unlock(lock);
        done++;
      }
      longestNs = Math.max(longestNs, cpu.nowNs() - began);
      spin(cpu.random.below(60));
      if (interrupts > 0 && cpu.random.below(interrupts) === 0)
        cpu.sendInterrupt(cpu.random.below(kernel.cpus), Vector.USER_0);
      cpu.endOperation();
    }
    return sections;
  });
  return { refused, longestNs, interrupts: cpu.interruptsTaken(Vector.USER_0) };
}

function spin(rounds: number): void {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = Math.imul(x, 1664525) + 1013904223;
  if (x === 0) throw new Error("this stream never gives 0");
}

export function check(kernel: Kernel, options: ProgramOptions): void {
  const { data, slots } = parts(kernel, options);
  const expected = Number(options.sections) * kernel.cpus;
  const found = kernel.memory.read(data + Offset.COUNTER);
  if (found !== expected) throw new Error(`the counter is ${found}, the CPUs added ${expected}`);
  let handled = 0;
  for (let cpu = 0; cpu < kernel.cpus; cpu++) handled += kernel.memory.read(data + Offset.HANDLED + cpu);
  const inHandlers = kernel.memory.read(data + Offset.IRQ_COUNTER);
  if (inHandlers !== handled)
    throw new Error(`the handlers' counter is ${inHandlers} after ${handled} handlers`);
  checkSpinLocks(kernel.memory, slots, kernel.cpus);
  for (const { name, acquisitions, heldNs, heldMinNs } of sumLockStats(kernel.memory, slots, kernel.cpus)) {
    const held = name === "test_a" ? expected : handled;
    if (acquisitions !== held) throw new Error(`${name}: ${acquisitions} acquisitions, expected ${held}`);
    if (options.expectHeld && acquisitions > 0 && (heldNs <= 0 || heldMinNs <= 0))
      throw new Error(`${name}: held ${heldNs} ns in all, at least ${heldMinNs} ns at a time`);
  }
}
