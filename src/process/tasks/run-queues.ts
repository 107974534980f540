/**
 * Run queues, one a CPU, and waking tasks: here or on another CPU.
 *
 *   state RUNNING                    onRq QUEUED                          onCpu
 *     |  (the task itself)              |  schedule(), under rq.lock        |
 *   INTERRUPTIBLE ...  --------->      NO  --- the CPU switches away --->   0
 *     |  try_to_wake_up, under pi_lock: waits for onCpu 0, chooses a CPU
 *   WAKING ----> QUEUED there, RUNNING; a CPU that idles is interrupted
 *
 * Who is woken before `onRq` is NO is just made RUNNING: it has not left.  A task that is off its queue may still be on its
 * CPU, which saves what it has in registers: nobody may put it elsewhere before.
 *
 * Invariants, with all rq.locks held
 *   S1  a queued task is on the list of the CPU that it names, or runs there; `running` counts them
 *   S2  the running task is on no list
 *
 * Lock order: pi_lock -> rq.lock, by number of the CPU.
 * Linux: kernel/sched/core.c try_to_wake_up, wake_up_new_task, resched_curr, select_task_rq; fair.c sched_balance_newidle.
 * Differs: tasks run in turn, without weights or deadlines, and who wakes up preempts nobody but the idle task.  A plain function
 * or generator is bound to its CPU once it has run, for its state is that of the CPU's thread.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Vector } from "../../hardware/vectors.ts";
import { bug } from "../../memory/bug.ts";
import { listAddTail, listDelInit, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task } from "../../sync/task.ts";
import { RunQueue, type TaskSlots } from "./task-layout.ts";
import { OnRq, ProgramForm, type TaskRef, TaskState, ThreadFlag } from "./task-state.ts";

const task = Task;
const rq = RunQueue;
const { NEED_RESCHED } = ThreadFlag;
/** A task is put on a run queue while its old CPU still has its registers. */
const noOnCpuWait = mutant("wake-up-no-on-cpu-wait");

export interface RunQueueParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly masks: CpuMasks;
  readonly slots: TaskSlots;
  /** CPUs that run programs. */
  readonly cpus: number;
}

export class RunQueues {
  /** This CPU's. */
  declare readonly own: Pointer;
  declare readonly cpus: number;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly masks: CpuMasks;
  declare private readonly slots: TaskSlots;

  constructor(parts: RunQueueParts) {
    const { cpu, slots } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = parts.locks;
    this.masks = parts.masks;
    this.slots = slots;
    this.cpus = parts.cpus;
    this.own = slots.queues.of(cpu.id);
  }

  /** Linux: sched_init; `idle` gives each CPU's own task. */
  format(idle: (cpu: number) => TaskRef): void {
    const { memory, locks } = this;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const at = this.of(cpu);
      locks.format(at + rq.lock, LockClass.RUN_QUEUE);
      listInit(memory, at + rq.queue);
      memory.write(at + rq.idle, idle(cpu));
      memory.write(at + rq.current, idle(cpu));
    }
  }

  of(cpu: number): Pointer {
    return this.slots.queues.of(cpu);
  }

  // ---- what may run where ----

  /** Whether a task that does not run may go to another CPU. */
  isMovable(at: TaskRef): boolean {
    const { memory } = this;
    return memory.read(at + task.form) === ProgramForm.STEP || memory.read(at + task.isStarted) === 0;
  }

  /** Whether its CPU could run it: a plain function that waits goes on only when it is on top of all others that wait. */
  canRun(queue: Pointer, at: TaskRef): boolean {
    const { memory } = this;
    return (
      memory.read(at + task.form) !== ProgramForm.PLAIN ||
      memory.read(at + task.isStarted) === 0 ||
      memory.read(queue + rq.top) === at
    );
  }

  /** The first task of a queue that can run; or 0.  @holds rq.lock */
  firstOf(queue: Pointer): TaskRef {
    const { memory } = this;
    const head = queue + rq.queue;
    for (let link = memory.read(head); link !== head; link = memory.read(link))
      if (this.canRun(queue, link - task.queued)) return link - task.queued;
    return 0;
  }

  // ---- queues ----

  /** A task that is able to run, and did not: activate_task.  @holds rq.lock */
  enqueue(queue: Pointer, at: TaskRef): void {
    const { memory } = this;
    listAddTail(memory, at + task.queued, queue + rq.queue);
    memory.write(queue + rq.running, memory.read(queue + rq.running) + 1);
    memory.store(at + task.onRq, OnRq.QUEUED);
    memory.wake(at + task.onRq);
  }

  /** A task that waits in the queue leaves it for another one.  @holds rq.lock */
  dequeueToMove(queue: Pointer, at: TaskRef): void {
    const { memory } = this;
    listDelInit(memory, at + task.queued);
    memory.write(queue + rq.running, memory.read(queue + rq.running) - 1);
    memory.store(at + task.onRq, OnRq.MIGRATING);
  }

  /** The CPU shall look for another task.  Linux: resched_curr.  @holds rq.lock */
  reschedule(cpu: number): void {
    const { memory } = this;
    const queue = this.of(cpu);
    const flags = memory.read(queue + rq.current) + task.threadFlags;
    if ((memory.or(flags, NEED_RESCHED) & NEED_RESCHED) !== 0 || cpu === this.cpu.id) return;
    if (memory.read(queue + rq.isOnline) !== 0) this.cpu.sendInterrupt(cpu, Vector.RESCHEDULE);
  }

  // ---- waking ----

  /**
   * Wakes `at` if its state is among `states`; whether it was.  Linux: try_to_wake_up.
   * @takes pi_lock, rq.lock
   */
  tryToWakeUp(at: TaskRef, states: number): boolean {
    const { memory, locks } = this;
    if (at === this.cpu.current) {
      if ((memory.load(at + task.state) & states) === 0) return false;
      memory.store(at + task.state, TaskState.RUNNING);
      return true;
    }
    const flags = locks.lockIrqSave(at + task.wakeLock);
    const isAsleep = (memory.load(at + task.state) & states) !== 0;
    if (isAsleep && !(memory.load(at + task.onRq) !== OnRq.NO && this.wakeQueued(at))) this.wakeSleeping(at);
    locks.unlockIrqRestore(at + task.wakeLock, flags);
    return isAsleep;
  }

  /** The first run of a new task.  Linux: wake_up_new_task. */
  wakeUpNew(at: TaskRef): void {
    const { memory, locks } = this;
    const flags = locks.lockIrqSave(at + task.wakeLock);
    memory.store(at + task.state, TaskState.RUNNING);
    const cpu = this.idlest(at);
    memory.write(at + task.cpu, cpu);
    this.activate(cpu, at);
    locks.unlockIrqRestore(at + task.wakeLock, flags);
  }

  /** It has not left its queue yet.  Linux: ttwu_runnable.  @holds pi_lock  @irqs off */
  private wakeQueued(at: TaskRef): boolean {
    const { memory, locks } = this;
    const queue = this.lockQueueOf(at);
    const isQueued = memory.load(at + task.onRq) === OnRq.QUEUED;
    if (isQueued) memory.store(at + task.state, TaskState.RUNNING);
    locks.unlock(queue + rq.lock);
    return isQueued;
  }

  /** @holds pi_lock  @irqs off */
  private wakeSleeping(at: TaskRef): void {
    const { memory } = this;
    memory.store(at + task.state, TaskState.WAKING);
    reached("wake-up-no-on-cpu-wait");
    // Its CPU has taken it off the queue and is on the way to the next task.
    if (!noOnCpuWait) memory.waitWhile(at + task.onCpu, -1, 1);
    const before = memory.read(at + task.cpu);
    const cpu = this.isMovable(at) ? this.chooseCpu(at, before) : before;
    if (cpu !== before) {
      memory.write(at + task.cpu, cpu);
      memory.write(at + task.migrations, memory.read(at + task.migrations) + 1);
    }
    memory.store(at + task.state, TaskState.RUNNING);
    this.activate(cpu, at);
    const queue = this.of(cpu);
    const field = queue + (cpu === this.cpu.id ? rq.wakeUps : rq.remoteWakeUps);
    memory.writeFloat64(field, memory.readFloat64(field) + 1);
  }

  /** Linux: ttwu_queue, ttwu_do_activate.  @irqs off */
  private activate(cpu: number, at: TaskRef): void {
    const { memory, locks } = this;
    const queue = this.of(cpu);
    locks.lock(queue + rq.lock);
    this.enqueue(queue, at);
    if (memory.read(queue + rq.current) === memory.read(queue + rq.idle)) this.reschedule(cpu);
    locks.unlock(queue + rq.lock);
  }

  /** Locks the queue that `at` is on.  Linux: __task_rq_lock.  @holds pi_lock  @irqs off */
  lockQueueOf(at: TaskRef): Pointer {
    const { memory, locks } = this;
    for (;;) {
      const queue = this.of(memory.read(at + task.cpu));
      locks.lock(queue + rq.lock);
      const isHere = this.of(memory.read(at + task.cpu)) === queue;
      if (isHere && memory.load(at + task.onRq) !== OnRq.MIGRATING) return queue;
      locks.unlock(queue + rq.lock);
      memory.waitWhile(at + task.onRq, -1, OnRq.MIGRATING);
    }
  }

  // ---- affinity ----

  /** Whether the running task may go on on another CPU only. */
  mustMove(at: TaskRef): boolean {
    return !this.masks.has(at + task.cpusMask, this.cpu.id) && this.isMovable(at);
  }

  /** A task that this CPU has switched away from goes to one that it may run on.  Linux: migration_cpu_stop. */
  pushAway(at: TaskRef): void {
    const { memory, locks } = this;
    const flags = locks.lockIrqSave(at + task.wakeLock);
    this.moveTo(this.idlest(at), at);
    memory.write(at + task.migrations, memory.read(at + task.migrations) + 1);
    locks.unlockIrqRestore(at + task.wakeLock, flags);
  }

  /**
   * Says on which CPUs `at` may run; false when it is bound to another.  Linux: set_cpus_allowed_ptr.
   * @takes pi_lock, rq.lock
   */
  setAffinity(at: TaskRef, cpus: readonly number[]): boolean {
    const { memory, locks, masks } = this;
    const mask = at + task.cpusMask;
    const flags = locks.lockIrqSave(at + task.wakeLock);
    const queue = this.lockQueueOf(at);
    const here = memory.read(at + task.cpu);
    const isAllowed = cpus.includes(here);
    const isFine = isAllowed || this.isMovable(at);
    if (isFine)
      for (let cpu = 0; cpu < this.cpus; cpu++)
        if (cpus.includes(cpu)) masks.add(mask, cpu);
        else masks.remove(mask, cpu);
    const isRunning = memory.read(queue + rq.current) === at;
    const isMoved = isFine && !isAllowed && !isRunning && memory.load(at + task.onRq) === OnRq.QUEUED;
    if (isMoved) this.dequeueToMove(queue, at);
    if (isFine && !isAllowed && isRunning) this.reschedule(here);
    locks.unlock(queue + rq.lock);
    if (isMoved) this.moveTo(this.idlest(at), at);
    locks.unlockIrqRestore(at + task.wakeLock, flags);
    return isFine;
  }

  /** A task on no queue goes to the end of `cpu`'s.  @holds pi_lock  @irqs off */
  private moveTo(cpu: number, at: TaskRef): void {
    this.memory.write(at + task.cpu, cpu);
    this.activate(cpu, at);
  }

  // ---- choosing a CPU ----

  /** Where a sleeper goes on: where it was, here, or on any CPU that idles; else where it was.  Linux: select_idle_sibling. */
  private chooseCpu(at: TaskRef, before: number): number {
    const { memory, masks, cpus } = this;
    const mask = at + task.cpusMask;
    const allowed = (cpu: number): boolean => masks.has(mask, cpu);
    if (allowed(before) && this.isIdle(before)) return before;
    if (allowed(this.cpu.id) && this.isIdle(this.cpu.id)) return this.cpu.id;
    for (let i = 1; i < cpus; i++) {
      const cpu = (before + i) % cpus;
      if (memory.read(this.of(cpu) + rq.running) === 0 && allowed(cpu) && this.isIdle(cpu)) return cpu;
    }
    return allowed(before) ? before : this.idlest(at);
  }

  /** The allowed CPU with the fewest tasks, this one of equals.  Linux: sched_balance_find_dst_cpu. */
  private idlest(at: TaskRef): number {
    const { memory, masks, cpus } = this;
    let best = -1;
    let fewest = Infinity;
    for (let i = 0; i < cpus && fewest > 0; i++) {
      const cpu = (this.cpu.id + i) % cpus;
      const running = memory.read(this.of(cpu) + rq.running);
      if (running >= fewest || !masks.has(at + task.cpusMask, cpu)) continue;
      best = cpu;
      fewest = running;
    }
    return best < 0 ? bug(`task ${memory.read(at + task.pid)} may run on no CPU`) : best;
  }

  /** Linux: available_idle_cpu. */
  private isIdle(cpu: number): boolean {
    const { memory } = this;
    const queue = this.of(cpu);
    return (
      memory.read(queue + rq.running) === 0 &&
      memory.read(queue + rq.current) === memory.read(queue + rq.idle)
    );
  }

  // ---- balancing ----

  /**
   * This CPU has nothing to run: pulls a task from the queue with most of those that are movable.  Whether it has.
   * Linux: sched_balance_newidle, detach_tasks, attach_tasks.
   * @irqs off
   */
  pull(): boolean {
    const busiest = this.busiest();
    if (busiest < 0) return false;
    const { memory, locks, own } = this;
    const queue = this.of(busiest);
    locks.lock(queue + rq.lock);
    const at = this.firstMovable(queue);
    if (at !== 0) {
      this.dequeueToMove(queue, at);
      memory.write(at + task.cpu, this.cpu.id);
      memory.write(at + task.migrations, memory.read(at + task.migrations) + 1);
    }
    locks.unlock(queue + rq.lock);
    if (at === 0) return false;
    locks.lock(own + rq.lock);
    this.enqueue(own, at);
    memory.writeFloat64(own + rq.pulled, memory.readFloat64(own + rq.pulled) + 1);
    locks.unlock(own + rq.lock);
    return true;
  }

  /**
   * A task had to go back to this CPU's queue: a CPU that idles, and may run it, comes and takes it.
   * Linux: nohz_balancer_kick, at the tick.
   * @holds rq.lock
   */
  kickIdle(at: TaskRef): void {
    const { masks, cpus } = this;
    if (!this.isMovable(at)) return;
    for (let i = 1; i < cpus; i++) {
      const cpu = (this.cpu.id + i) % cpus;
      if (!this.isIdle(cpu) || !masks.has(at + task.cpusMask, cpu)) continue;
      this.reschedule(cpu);
      return;
    }
  }

  private busiest(): number {
    const { memory, cpus } = this;
    let found = -1;
    let most = 1;
    for (let i = 1; i < cpus; i++) {
      const cpu = (this.cpu.id + i) % cpus;
      const running = memory.read(this.of(cpu) + rq.running);
      if (running <= most) continue;
      found = cpu;
      most = running;
    }
    return found;
  }

  /** @holds rq.lock */
  private firstMovable(queue: Pointer): TaskRef {
    const { memory, masks } = this;
    const head = queue + rq.queue;
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const at = link - task.queued;
      if (this.isMovable(at) && masks.has(at + task.cpusMask, this.cpu.id)) return at;
    }
    return 0;
  }
}
