/**
 * What runs on a CPU, one task after the other: `schedule()`, and the loop that carries tasks out in their three forms.
 *
 * A task's code runs until it ends, yields, or must wait; then this loop switches to the next.  A plain function cannot be taken
 * off the thread's stack: while it waits, its own call of `schedule` runs the others on top of it, and comes back when the
 * CPU has switched to it again.  Of several plain functions that wait on one CPU, only the topmost can go on: `rq.top`.
 *
 *   runTasks                            the CPU's own task, which is the idle task here
 *     schedule -> execute(generator)    until it yields
 *     schedule -> execute(plain A)
 *                   A waits: schedule -> execute(plain B)     above A
 *                                        ... B ends; A is woken; back in A
 *
 * Generator objects are in a table of this thread, made when the task is first switched in, and dropped when a run begins: RAM
 * may have been put back to an earlier state.
 *
 * When every CPU idles and tasks are left, none of them can be woken any more: that is a deadlock, and reported as one.
 *
 * Linux: kernel/sched/core.c __schedule, schedule, do_idle; entry/common.c exit_to_user_mode_loop.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Vector } from "../../hardware/vectors.ts";
import { bug } from "../../memory/bug.ts";
import { Deadlock } from "../../memory/endings.ts";
import { listAddTail, listDelInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Barriers } from "../../sync/barrier.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task, type Tasks } from "../../sync/task.ts";
import type { ContextSwitch } from "./context-switch.ts";
import type { RunQueues } from "./run-queues.ts";
import { RunQueue, TaskGlobals } from "./task-layout.ts";
import { OnRq, type TaskRef, TaskState, ThreadFlag } from "./task-state.ts";
import type { TaskTable } from "./task-table.ts";

const task = Task;
const rq = RunQueue;
const globals = TaskGlobals;
const { NEED_RESCHED, SIGPENDING } = ThreadFlag;
const SIGNALS_END = TaskState.INTERRUPTIBLE | 0x100;

/** How long a task runs while others wait, before it goes behind them.  Linux: base_slice_ns of 8 CPUs. */
const SLICE_NS = 3_000_000;

/** In `idleCpus`: how many idle, and, above, how often one has left. */
const IDLE_COUNT = 0xffff;
const IDLE_LEFT = 0x10000;

/** Runs the running task's code until it must be switched out. */
export type TaskRunner = (at: TaskRef) => void;

export interface SchedulerParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly barriers: Barriers;
  readonly tasks: Tasks;
  readonly table: TaskTable;
  readonly queues: RunQueues;
  readonly switching: ContextSwitch;
  readonly execute: TaskRunner;
  readonly describe: () => string;
  /** The running task has been interrupted, and may have a signal. */
  readonly interrupted: () => void;
  /** A run begins. */
  readonly begin: () => void;
}

export class Scheduler {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly own: Pointer;
  declare private readonly parts: SchedulerParts;
  declare private readonly queues: RunQueues;
  /** This CPU's own task. */
  declare private readonly idleTask: TaskRef;

  constructor(parts: SchedulerParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
    this.queues = parts.queues;
    this.own = parts.queues.own;
    this.idleTask = parts.cpu.current;
    // The flag is set already: what it interrupts looks at it.  Linux: scheduler_ipi.
    parts.cpu.onInterrupt(Vector.RESCHEDULE, parts.interrupted);
  }

  /** Runs tasks until all of the machine have ended; every CPU calls it. */
  runAll(): void {
    const { memory, cpu, own, idleTask } = this;
    const { table, barriers, locks, switching } = this.parts;
    if (cpu.current !== idleTask) bug(`cpu ${cpu.id}: runTasks is called by a task`);
    if (memory.read(idleTask + task.mm) !== 0)
      bug(`cpu ${cpu.id}: runTasks is called while the CPU's own task uses an address space`);
    table.start();
    this.parts.begin();
    const flags = locks.lockIrqSave(own + rq.lock);
    memory.write(own + rq.isOnline, 1);
    memory.write(own + rq.top, 0);
    locks.unlockIrqRestore(own + rq.lock, flags);
    barriers.wait(table.at + globals.meeting);
    do {
      this.schedule();
      this.idle();
    } while (this.hasWork());
    const off = locks.lockIrqSave(own + rq.lock);
    memory.write(own + rq.isOnline, 0);
    locks.unlockIrqRestore(own + rq.lock, off);
    switching.leaveBorrowed();
    barriers.wait(table.at + globals.meeting);
  }

  /**
   * Lets other tasks run; returns when the running task goes on.  For a task that has not set its state to a sleep that is
   * when its turn comes again.  @may-sleep
   */
  schedule(): void {
    const { memory, cpu, own } = this;
    const self = cpu.current;
    const top = memory.read(own + rq.top);
    if (self !== this.idleTask) memory.write(own + rq.top, self);
    for (;;) {
      cpu.endOperation();
      this.switchOnce();
      const next = cpu.current;
      if (next === self) break;
      if (next === this.idleTask) this.idle();
      else this.parts.execute(next);
    }
    memory.write(own + rq.top, top);
  }

  /** Whether the running task shall let others run, where it can.  Linux: need_resched, and the tick's update_curr. */
  get shouldSwitch(): boolean {
    const { memory, cpu, own } = this;
    const at = cpu.current;
    if ((memory.load(at + task.threadFlags) & NEED_RESCHED) !== 0) return true;
    if (memory.read(own + rq.running) < 2) return false;
    return cpu.nowNs() - memory.readFloat64(at + task.execStartNs) > SLICE_NS;
  }

  private hasWork(): boolean {
    const { memory, own } = this;
    return memory.load(this.parts.table.at + globals.alive) > 0 || memory.read(own + rq.running) > 0;
  }

  // ---- one switch ----

  /** From the running task to the next.  Linux: __schedule. */
  private switchOnce(): void {
    const { memory, cpu, own, idleTask, queues } = this;
    const { locks, switching } = this.parts;
    const previous = cpu.current;
    cpu.irqDisable();
    locks.lock(own + rq.lock);
    memory.and(previous + task.threadFlags, ~NEED_RESCHED);
    const sleeps = previous !== idleTask && this.putPrevious(previous);
    const mustMove = memory.load(previous + task.onRq) === OnRq.MIGRATING;
    let next = queues.firstOf(own);
    if (next === 0) {
      // Other locks of run queues are taken in turn, never together.
      locks.unlock(own + rq.lock);
      queues.pull();
      locks.lock(own + rq.lock);
      next = queues.firstOf(own);
    }
    if (next === 0) next = idleTask;
    else listDelInit(memory, next + task.queued);
    if (next === previous) {
      locks.unlock(own + rq.lock);
      cpu.irqEnable();
      return;
    }
    this.count(previous, next, sleeps);
    memory.write(own + rq.current, next);
    switching.switchTo(previous, next);
    if (mustMove) queues.pushAway(previous);
  }

  /** The running task goes to the end of the queue, or off it; whether it sleeps.  @holds rq.lock */
  private putPrevious(at: TaskRef): boolean {
    const { memory, own } = this;
    const state = memory.load(at + task.state);
    const isSignalled =
      (memory.load(at + task.threadFlags) & SIGPENDING) !== 0 && (state & SIGNALS_END) !== 0;
    if (isSignalled) memory.store(at + task.state, TaskState.RUNNING);
    if (state === TaskState.RUNNING || isSignalled) {
      if (this.queues.mustMove(at)) {
        memory.write(own + rq.running, memory.read(own + rq.running) - 1);
        memory.store(at + task.onRq, OnRq.MIGRATING);
        return false;
      }
      listAddTail(memory, at + task.queued, own + rq.queue);
      if (memory.read(own + rq.running) > 1 && this.someIdle) this.queues.kickIdle(at);
      return false;
    }
    memory.write(own + rq.running, memory.read(own + rq.running) - 1);
    // From here on a wake-up takes pi_lock alone, and waits for this CPU to have switched.
    memory.store(at + task.onRq, OnRq.NO);
    return true;
  }

  private get someIdle(): boolean {
    return (this.memory.load(this.parts.table.at + globals.idleCpus) & IDLE_COUNT) > 0;
  }

  private count(previous: TaskRef, next: TaskRef, sleeps: boolean): void {
    const { memory, own, cpu } = this;
    const now = cpu.nowNs();
    const ran = now - memory.readFloat64(previous + task.execStartNs);
    memory.writeFloat64(previous + task.runtimeNs, memory.readFloat64(previous + task.runtimeNs) + ran);
    memory.writeFloat64(next + task.execStartNs, now);
    memory.writeFloat64(own + rq.switches, memory.readFloat64(own + rq.switches) + 1);
    const field = previous + (sleeps ? task.switchesVoluntary : task.switchesInvoluntary);
    memory.write(field, memory.read(field) + 1);
  }

  // ---- idling ----

  /** Until there is something to run, or no task is left.  Linux: do_idle. */
  private idle(): void {
    const { memory, cpu, idleTask } = this;
    const { at } = this.parts.table;
    const flags = idleTask + task.threadFlags;
    cpu.endOperation();
    if (this.isWoken(flags)) return;
    const idle = memory.add(at + globals.idleCpus, 1) + 1;
    if ((idle & IDLE_COUNT) === this.queues.cpus) this.lookForDeadlock(idle);
    while (!this.isWoken(flags)) cpu.halt();
    memory.add(at + globals.idleCpus, IDLE_LEFT - 1);
  }

  private isWoken(flags: Pointer): boolean {
    const { memory } = this;
    return (
      (memory.load(flags) & NEED_RESCHED) !== 0 || memory.load(this.parts.table.at + globals.alive) === 0
    );
  }

  /**
   * All CPUs idle: nobody is left who could wake a task, unless a CPU has been asked to look.  It says that it leaves before
   * it forgets that it was asked: `idle`, the word as it was found, has changed then.
   */
  private lookForDeadlock(idle: number): void {
    const { memory, queues } = this;
    for (let cpu = 0; cpu < queues.cpus; cpu++)
      if (this.isWoken(memory.read(queues.of(cpu) + rq.idle) + task.threadFlags)) return;
    if (memory.load(this.parts.table.at + globals.idleCpus) !== idle) return;
    throw new Deadlock(
      `deadlock: all CPUs idle, and tasks wait that nobody can wake: ${this.parts.describe()}`,
    );
  }
}
