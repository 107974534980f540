/**
 * Every CPU adds to one word under one spinlock, `sections` times, with random work inside and outside, sometimes with
 * interrupts off, sometimes by trylock.  The word is accessed plainly: a lock that lets two in loses an addition.
 * CPUs interrupt each other; the handler, often in the middle of a wait for the first lock, adds under a second one.
 */

import { Vector } from "../../../src/hardware/vectors.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { sumLockStats } from "../../../src/sync/lock-stat.ts";
import { checkSpinLocks, REFUSED, SpinLocks } from "../../../src/sync/spinlock.ts";

const Offset = { LOCK: 0, COUNTER: 16, INSIDE: 17, IRQ_LOCK: 32, IRQ_COUNTER: 48, HANDLED: 64 } as const;

export function setup(kernel: Kernel): Pointer {
  const data = kernel.pages.getZeroedPage(Gfp.KERNEL);
  kernel.spin.format(data + Offset.LOCK, LockClass.TEST_A);
  kernel.spin.format(data + Offset.IRQ_LOCK, LockClass.TEST_B);
  return data;
}

/** This CPU's lock engine, and its handler. */
export function attach(kernel: Kernel, options: ProgramOptions, data: Pointer): SpinLocks {
  const { cpu, memory, image } = kernel;
  const locks = options.paravirtual ? new SpinLocks(cpu, image.spin, { paravirtual: true }) : kernel.spin;
  const addTo = (word: number): void => memory.write(word, memory.read(word) + 1);
  cpu.onInterrupt(Vector.USER_0, () => {
    locks.lock(data + Offset.IRQ_LOCK);
    addTo(data + Offset.IRQ_COUNTER);
    spin(cpu.random.below(20));
    locks.unlock(data + Offset.IRQ_LOCK);
    addTo(data + Offset.HANDLED + cpu.id);
  });
  return locks;
}

export function run(kernel: Kernel, options: ProgramOptions, data: Pointer, locks: SpinLocks): unknown {
  const { memory, cpu } = kernel;
  const sections = Number(options.sections);
  const interrupts = Number(options.interrupts ?? 0);
  const lock = data + Offset.LOCK;
  let refused = 0;
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

export function check(kernel: Kernel, options: ProgramOptions, _values: unknown, data: Pointer): void {
  const { memory, cpus, image } = kernel;
  const expected = Number(options.sections) * cpus;
  const found = memory.read(data + Offset.COUNTER);
  if (found !== expected) throw new Error(`the counter is ${found}, the CPUs added ${expected}`);
  let handled = 0;
  for (let cpu = 0; cpu < cpus; cpu++) handled += memory.read(data + Offset.HANDLED + cpu);
  const inHandlers = memory.read(data + Offset.IRQ_COUNTER);
  if (inHandlers !== handled)
    throw new Error(`the handlers' counter is ${inHandlers} after ${handled} handlers`);
  checkSpinLocks(memory, image.spin, cpus);
  if (memory.read(data + Offset.INSIDE) !== 0) throw new Error("somebody is still inside");
  const taken: Record<string, number> = { test_a: expected, test_b: handled };
  for (const { name, acquisitions, heldNs, heldMinNs } of sumLockStats(memory, image.spin, cpus)) {
    if (!(name in taken)) continue;
    if (acquisitions !== taken[name])
      throw new Error(`${name}: ${acquisitions} acquisitions, expected ${taken[name]}`);
    if (options.expectHeld && (heldNs <= 0 || heldMinNs <= 0))
      throw new Error(`${name}: held ${heldNs} ns in all, at least ${heldMinNs} ns at a time`);
  }
}
