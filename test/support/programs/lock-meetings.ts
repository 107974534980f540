/**
 * Meetings that a lock must allow or make wait (option `what`):
 *
 *   readers    all CPUs are inside one rwsem as readers at once: each leaves only when all are in
 *   blocked    CPU 0 holds a mutex until 100 ms after the last of the others has come for it; they report how long they
 *              waited, and the processor time that took them
 *   downgrade  CPU 0 writes, the others queue as readers; CPU 0 downgrades and meets them inside
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { checkMutex } from "../../../src/sync/mutex.ts";
import { checkRwsem, RwSemaphore } from "../../../src/sync/rwsem.ts";
import { checkSpinLocks } from "../../../src/sync/spinlock.ts";

const Offset = { MUTEX: 0, SEM: 16, INSIDE: 48, HELD: 64 } as const;
const HOLD_NS = 100_000_000;
const WAITERS_BIT = 2;

export function setup(kernel: Kernel): Pointer {
  const data = kernel.pages.getZeroedPage(Gfp.KERNEL);
  kernel.mutexes.format(data + Offset.MUTEX, LockClass.TEST_A);
  kernel.rwsems.format(data + Offset.SEM, LockClass.TEST_B);
  return data;
}

export function run(kernel: Kernel, options: ProgramOptions, data: Pointer): unknown {
  kernel.gate();
  if (options.what === "blocked") return blocked(kernel, data);
  if (options.what === "downgrade") return downgrade(kernel, data);
  if (options.what === "readers") {
    kernel.rwsems.readLock(data + Offset.SEM);
    meet(kernel, data);
    kernel.rwsems.readUnlock(data + Offset.SEM);
  }
  return null;
}

/** Returns when every CPU has called it. */
function meet(kernel: Kernel, data: Pointer): void {
  const { memory, cpus } = kernel;
  const inside = data + Offset.INSIDE;
  memory.add(inside, 1);
  memory.wake(inside);
  for (let seen = memory.load(inside); seen !== cpus; seen = memory.load(inside))
    memory.waitWhile(inside, -1, seen);
}

function blocked(kernel: Kernel, data: Pointer): { cpuMs: number; wallMs: number } {
  const { cpu, memory, mutexes } = kernel;
  const held = data + Offset.HELD;
  if (cpu.id !== 0) memory.waitWhile(held, -1, 0);
  const beganNs = cpu.nowNs();
  const before = process.threadCpuUsage();
  if (cpu.id !== 0) {
    memory.add(data + Offset.INSIDE, 1);
    memory.wake(data + Offset.INSIDE);
  }
  mutexes.lock(data + Offset.MUTEX);
  const used = process.threadCpuUsage(before);
  const wallMs = (cpu.nowNs() - beganNs) / 1e6;
  if (cpu.id === 0) {
    memory.store(held, 1);
    memory.wake(held);
    const others = data + Offset.INSIDE;
    for (let come = memory.load(others); come !== kernel.cpus - 1; come = memory.load(others))
      memory.waitWhile(others, -1, come);
    const endNs = cpu.nowNs() + HOLD_NS;
    while (cpu.nowNs() < endNs) memory.waitWhile(held, -1, 1, endNs - cpu.nowNs());
  }
  mutexes.unlock(data + Offset.MUTEX);
  return { cpuMs: (used.user + used.system) / 1000, wallMs };
}

function downgrade(kernel: Kernel, data: Pointer): null {
  const { cpu, memory, cpus, rwsems: sems } = kernel;
  const sem = data + Offset.SEM;
  const held = data + Offset.HELD;
  if (cpu.id === 0) {
    sems.writeLock(sem);
    memory.store(held, 1);
    memory.wake(held);
    if (cpus > 1) memory.waitWhile(sem + RwSemaphore.count, WAITERS_BIT, 0, HOLD_NS);
    sems.downgrade(sem);
  } else {
    memory.waitWhile(held, -1, 0);
    sems.readLock(sem);
  }
  meet(kernel, data);
  sems.readUnlock(sem);
  return null;
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, data: Pointer): void {
  checkMutex(kernel.memory, data + Offset.MUTEX);
  checkRwsem(kernel.memory, data + Offset.SEM);
  checkSpinLocks(kernel.memory, kernel.image.spin, kernel.cpus);
}
