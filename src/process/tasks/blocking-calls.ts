/**
 * System calls that wait for another task, each as one *attempt*: it either has a result, or has put the running task to sleep
 * (state set, queued where it will be woken) and says so with null.  Then the task is switched out, in the way of its form,
 * and the attempt is made again when it goes on.  `blockedCall` says which call that is.
 *
 * The state is set before the condition is looked at: a wake-up between the look and the switch makes the task RUNNING again,
 * and the switch leaves it on its queue.
 *
 * Linux: kernel/exit.c do_wait, wait_consider_task, wait_task_zombie; kernel/sched/syscalls.c sched_yield.
 * Differs: no process groups: pid 0 is any child, as -1.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Errno } from "../../memory/errno.ts";
import { listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { RwLocks } from "../../sync/rwlock.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task } from "../../sync/task.ts";
import type { WaitQueues } from "../../sync/wait-queue.ts";
import type { ExitTask } from "./exit-task.ts";
import type { Futexes } from "./futex.ts";
import type { RunQueues } from "./run-queues.ts";
import { SignalStruct } from "./task-layout.ts";
import { type TaskRef, TaskState } from "./task-state.ts";
import type { TaskTable } from "./task-table.ts";

const task = Task;
const signal = SignalStruct;
const { EXIT_DEAD, EXIT_ZOMBIE, INTERRUPTIBLE, RUNNING } = TaskState;
/** The state is set after the children have been looked at: who ends in between wakes nobody. */
const looksFirst = mutant("wait-looks-first");

/** Linux: WNOHANG, __WNOTHREAD. */
export const WaitOption = { NOHANG: 1, NOTHREAD: 0x20000000 } as const;
/** Values of `blockedCall`. */
export const BlockedCall = { NONE: 0, WAIT: 1, FUTEX: 2, YIELD: 3, EXEC: 4 } as const;

/** What wait found. */
export interface WaitResult {
  /** The child; 0 with WNOHANG when none has ended; or a negated errno. */
  readonly pid: number;
  /** As in C: the signal that ended it, or its exit status << 8. */
  readonly status: number;
}

export interface BlockingParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwlocks: RwLocks;
  readonly functions: Functions;
  readonly waitQueues: WaitQueues;
  readonly table: TaskTable;
  readonly queues: RunQueues;
  readonly exits: ExitTask;
  readonly futexes: Futexes;
}

export class BlockingCalls {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: BlockingParts;
  declare private readonly wakeFunction: FunctionId;

  constructor(parts: BlockingParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
    this.wakeFunction = parts.functions.register("child_wait_callback", (_cpu, entry) =>
      parts.queues.tryToWakeUp(entry - task.wait, INTERRUPTIBLE) ? 1 : 0,
    );
  }

  /** Waits for a child to end.  Linux: kernel_wait4. */
  wait(pid: number, options: number): WaitResult | null {
    const { memory, cpu, parts } = this;
    if ((options & ~(WaitOption.NOHANG | WaitOption.NOTHREAD)) !== 0) return failed(Errno.EINVAL);
    const at = cpu.current;
    const queue = memory.read(at + task.signal) + signal.waitChildExit;
    this.enter(at, BlockedCall.WAIT);
    if (listIsEmpty(memory, at + task.wait))
      parts.waitQueues.addEntry(queue, at + task.wait, this.wakeFunction);
    reached("wait-looks-first");
    if (!looksFirst) memory.store(at + task.state, INTERRUPTIBLE);
    const found = this.lookAtChildren(at, pid, options);
    if (looksFirst) memory.store(at + task.state, INTERRUPTIBLE);
    if (found === null) return null;
    this.cancel(at);
    return found;
  }

  /** Others that are able to run go first.  Linux: sched_yield. */
  yield(): 0 | null {
    const at = this.cpu.current;
    if (this.memory.read(at + task.blockedCall) === BlockedCall.YIELD) {
      this.memory.write(at + task.blockedCall, BlockedCall.NONE);
      return 0;
    }
    this.enter(at, BlockedCall.YIELD);
    return null;
  }

  /** The same for a step program, which is switched out only between two steps. */
  yieldAfterStep(): number {
    this.enter(this.cpu.current, BlockedCall.YIELD);
    return 0;
  }

  /** A step program goes on after it has let others run. */
  endYield(at: TaskRef): void {
    if (this.memory.read(at + task.blockedCall) === BlockedCall.YIELD)
      this.memory.write(at + task.blockedCall, BlockedCall.NONE);
  }

  /** 0 when woken, or a negated errno.  Linux: futex_wait. */
  futexWait(address: number, expected: number): number | null {
    const at = this.cpu.current;
    const isResumed = this.memory.read(at + task.blockedCall) === BlockedCall.FUTEX;
    this.enter(at, BlockedCall.FUTEX);
    const result = this.parts.futexes.wait(at, address, expected, isResumed);
    if (result !== null) this.cancel(at);
    return result;
  }

  /** The task's next attempt is one of `call`: what another call has left is undone. */
  enter(at: TaskRef, call: number): void {
    const before = this.memory.read(at + task.blockedCall);
    if (before === call) return;
    if (before !== BlockedCall.NONE) this.cancel(at);
    this.memory.write(at + task.blockedCall, call);
  }

  /** The task waits for nothing any more. */
  cancel(at: TaskRef): void {
    const { memory, parts } = this;
    memory.store(at + task.state, RUNNING);
    memory.write(at + task.blockedCall, BlockedCall.NONE);
    if (!listIsEmpty(memory, at + task.wait))
      parts.waitQueues.removeEntry(memory.read(at + task.signal) + signal.waitChildExit, at + task.wait);
    parts.futexes.cancel(at);
  }

  // ---- wait ----

  /** A child that has ended, an error, or null: there are children, and none has ended.  Linux: do_wait_thread. */
  private lookAtChildren(at: TaskRef, pid: number, options: number): WaitResult | null {
    const { memory, parts } = this;
    const { rwlocks, table } = parts;
    let hasChild = false;
    const flags = rwlocks.readLockIrqSave(table.tasklistLock);
    const threads = memory.read(at + task.signal) + signal.threads;
    let zombie = 0;
    for (let link = memory.read(threads); link !== threads && zombie === 0; link = memory.read(link)) {
      const thread = link - task.thread;
      if ((options & WaitOption.NOTHREAD) !== 0 && thread !== at) continue;
      const head = thread + task.children;
      for (let c = memory.read(head); c !== head && zombie === 0; c = memory.read(c)) {
        const child = c - task.sibling;
        if (pid > 0 && memory.read(child + task.pid) !== pid) continue;
        const state = memory.load(child + task.exitState);
        if (state === EXIT_DEAD) continue;
        hasChild = true;
        // A leader that has ended before its threads is waited for when they have.
        if (state !== EXIT_ZOMBIE || !parts.exits.isAlone(child)) continue;
        if (memory.cas(child + task.exitState, EXIT_ZOMBIE, EXIT_DEAD) === EXIT_ZOMBIE) zombie = child;
      }
    }
    rwlocks.readUnlockIrqRestore(table.tasklistLock, flags);
    if (zombie !== 0) return this.reap(at, zombie);
    if (!hasChild) return failed(Errno.ECHILD);
    return (options & WaitOption.NOHANG) !== 0 ? { pid: 0, status: 0 } : null;
  }

  /** Linux: wait_task_zombie. */
  private reap(at: TaskRef, child: TaskRef): WaitResult {
    const { memory, parts } = this;
    const pid = memory.read(child + task.pid);
    const group = memory.read(child + task.signal);
    const status =
      memory.read(group + signal.flags) !== 0 ? group + signal.groupExitCode : child + task.exitCode;
    const result = { pid, status: memory.read(status) };
    this.addChildTimes(memory.read(at + task.signal), group, child);
    parts.exits.release(child);
    return result;
  }

  private addChildTimes(own: Pointer, group: Pointer, child: TaskRef): void {
    const { memory, parts } = this;
    const flags = parts.locks.lockIrqSave(own + signal.siglock);
    const add = (to: number, value: number): void =>
      memory.writeFloat64(own + to, memory.readFloat64(own + to) + value);
    const sum = (released: number, children: number): number =>
      memory.readFloat64(group + released) + memory.readFloat64(group + children);
    add(
      signal.childRuntimeNs,
      sum(signal.runtimeNs, signal.childRuntimeNs) + memory.readFloat64(child + task.runtimeNs),
    );
    add(signal.childMinFlt, sum(signal.minFlt, signal.childMinFlt) + memory.read(child + task.minFlt));
    add(signal.childMajFlt, sum(signal.majFlt, signal.childMajFlt) + memory.read(child + task.majFlt));
    parts.locks.unlockIrqRestore(own + signal.siglock, flags);
  }
}

const failed = (errno: number): WaitResult => ({ pid: -errno, status: 0 });
