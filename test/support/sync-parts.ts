/** The synchronisation services of a CPU over an image of their own, for tests and test programs. */

import type { Cpu } from "../../src/hardware/cpu.ts";
import { ImageLayout, type PerCpuSlot, type Slot } from "../../src/memory/image.ts";
import { Barriers } from "../../src/sync/barrier.ts";
import { Completions } from "../../src/sync/completion.ts";
import { Conditions } from "../../src/sync/condition.ts";
import { CpuMasks } from "../../src/sync/cpumask.ts";
import { Functions } from "../../src/sync/functions.ts";
import { type CallSlots, CrossCalls } from "../../src/sync/ipi.ts";
import { Mutexes } from "../../src/sync/mutex.ts";
import { Onces } from "../../src/sync/once.ts";
import { OnlineCpus } from "../../src/sync/online.ts";
import { Rcu } from "../../src/sync/rcu.ts";
import type { RcuSlots } from "../../src/sync/rcu-grace-period.ts";
import { Semaphores } from "../../src/sync/semaphore.ts";
import { declareSleepingLocks, Sleepers, type SleepingLockSlots } from "../../src/sync/sleeper.ts";
import { type SpinLockSlots, SpinLocks } from "../../src/sync/spinlock.ts";
import { Tasks } from "../../src/sync/task.ts";
import { WaitQueues } from "../../src/sync/wait-queue.ts";
import { bindImage, oneThread } from "./one-thread.ts";

export interface SyncSlots {
  readonly layout: ImageLayout;
  readonly functions: Slot;
  readonly online: Slot;
  readonly spin: SpinLockSlots;
  readonly calls: CallSlots;
  readonly rcu: RcuSlots;
  readonly sleeping: SleepingLockSlots;
  readonly tasks: PerCpuSlot;
  readonly waitEntries: PerCpuSlot;
  readonly semaphoreWaiters: PerCpuSlot;
}

export interface SyncParts {
  readonly cpu: Cpu;
  readonly masks: CpuMasks;
  readonly functions: Functions;
  readonly online: OnlineCpus;
  readonly locks: SpinLocks;
  readonly calls: CrossCalls;
  readonly rcu: Rcu;
  readonly mutexes: Mutexes;
  readonly tasks: Tasks;
  readonly waitQueues: WaitQueues;
  readonly completions: Completions;
  readonly semaphores: Semaphores;
  readonly conditions: Conditions;
  readonly barriers: Barriers;
  readonly onces: Onces;
  readonly slots: SyncSlots;
}

/** Declares and binds everything; the same on every CPU. */
export function declareSync(cpus: number, more: (layout: ImageLayout) => void = () => {}): SyncSlots {
  const layout = new ImageLayout();
  const slots = {
    layout,
    functions: Functions.declare(layout),
    online: OnlineCpus.declare(layout),
    spin: SpinLocks.declare(layout, cpus),
    calls: CrossCalls.declare(layout, cpus),
    rcu: Rcu.declare(layout),
    sleeping: declareSleepingLocks(layout),
    tasks: Tasks.declare(layout),
    waitEntries: WaitQueues.declare(layout),
    semaphoreWaiters: Semaphores.declare(layout),
  };
  more(layout);
  bindImage(layout);
  return slots;
}

export function attachSync(cpu: Cpu, cpus: number, slots: SyncSlots): SyncParts {
  const masks = new CpuMasks(cpu.memory, cpus);
  const functions = new Functions(cpu, slots.functions);
  const online = new OnlineCpus(masks, slots.online);
  const locks = new SpinLocks(cpu, slots.spin);
  const calls = new CrossCalls({ cpu, masks, online, functions, slots: slots.calls });
  const rcu = new Rcu({ cpu, masks, functions, calls, locks, slots: slots.rcu });
  const mutexes = new Mutexes(cpu, locks, slots.sleeping);
  const tasks = new Tasks(cpu, slots.tasks);
  tasks.attach();
  const sleepers = new Sleepers(cpu, slots.sleeping.sleepers);
  const waitQueues = new WaitQueues({ cpu, locks, sleepers, functions, entries: slots.waitEntries });
  const waits = {
    waitQueues,
    completions: new Completions(cpu, waitQueues),
    semaphores: new Semaphores({ cpu, locks, sleepers, waiters: slots.semaphoreWaiters }),
    conditions: new Conditions(cpu, waitQueues, mutexes),
    barriers: new Barriers(cpu),
    onces: new Onces(cpu),
  };
  return { cpu, masks, functions, online, locks, calls, rcu, mutexes, tasks, ...waits, slots };
}

/** The CPU takes part: it is online and may read. */
export function joinRun({ cpu, online, rcu }: SyncParts): void {
  online.bringUp(cpu.id);
  rcu.join();
}

export function leaveRun({ cpu, online, rcu, calls }: SyncParts): void {
  rcu.leave();
  online.takeDown(cpu.id);
  const flags = cpu.irqSave();
  calls.flush();
  cpu.irqRestore(flags);
}

/** `cpus` CPUs on the test's thread, all taking part; `during` is called in each wait. */
export function syncOnOneThread(cpus: number, during: (cpu: number) => void = () => {}): SyncParts[] {
  const { all } = oneThread(cpus, during);
  const slots = declareSync(cpus);
  const parts = all.map((cpu) => attachSync(cpu, cpus, slots));
  parts[0].rcu.format();
  parts[0].tasks.format(cpus, cpus);
  parts[0].waitQueues.formatEntries(cpus);
  for (const p of parts) joinRun(p);
  return parts;
}
