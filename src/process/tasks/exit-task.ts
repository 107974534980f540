/**
 * How a task ends, and who hears of it.
 *
 *   running --exit--> ZOMBIE --its parent waits, or nobody cares--> DEAD, released
 *
 * A thread that is not its group's leader is released at once; a leader when all its threads are and its parent has waited.
 * Children of who ends go to another thread of the group, or to init, which cares for no child: those are released when they
 * end.
 *
 * Lock order: tasklist_lock -> siglock; tasklist_lock -> wait_queue.lock -> pi_lock -> rq.lock.
 * Linux: kernel/exit.c do_exit, do_group_exit, exit_notify, forget_original_parent, release_task; kernel/signal.c
 * zap_other_threads, signal_wake_up_state, do_notify_parent.
 * Differs: SIGKILL is the only signal that is sent; no process groups, sessions or tracing.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Vector } from "../../hardware/vectors.ts";
import { listAddTail, listDel, listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { RwLocks } from "../../sync/rwlock.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task, TaskFlag } from "../../sync/task.ts";
import type { WaitQueues } from "../../sync/wait-queue.ts";
import type { ContextSwitch } from "./context-switch.ts";
import type { RunQueues } from "./run-queues.ts";
import { RunQueue, SignalStruct, TaskGlobals } from "./task-layout.ts";
import { SIGNAL_GROUP_EXIT, Signal, type TaskRef, TaskState, ThreadFlag } from "./task-state.ts";
import { listDelRcu, type TaskTable } from "./task-table.ts";

const task = Task;
const signal = SignalStruct;
const KILL_BIT = 1 << (Signal.KILL - 1);
const { EXIT_DEAD, EXIT_ZOMBIE, INTERRUPTIBLE, KILLABLE } = TaskState;
/** The parent is woken before its child can be waited for. */
const notifiesEarly = mutant("exit-notify-early");

export interface ExitParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwlocks: RwLocks;
  readonly waitQueues: WaitQueues;
  readonly table: TaskTable;
  readonly queues: RunQueues;
  readonly switching: ContextSwitch;
  /** Clears the word at `clearChildTid` and wakes who waits for it. */
  readonly clearChildTid: (at: TaskRef) => void;
  /** A task is about to leave its address space for good. */
  readonly ended: (at: TaskRef) => void;
}

export class ExitTask {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: ExitParts;

  constructor(parts: ExitParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  // ---- ending ----

  /** The running task ends; its caller switches to another.  `code` as wait returns it.  Linux: do_exit.  @may-sleep */
  exit(code: number): void {
    const { memory, cpu } = this;
    const at = cpu.current;
    memory.write(at + task.flags, memory.read(at + task.flags) | TaskFlag.EXITING);
    memory.add(memory.read(at + task.signal) + signal.live, -1);
    memory.write(at + task.exitCode, code);
    this.clearChildTid(at);
    this.parts.ended(at);
    this.parts.switching.exitMm();
    this.notify(at);
    memory.store(at + task.state, TaskState.DEAD);
    this.countDown();
  }

  /** All threads of the running task's group end.  Linux: do_group_exit.  @may-sleep */
  groupExit(code: number): void {
    const { memory, cpu, parts } = this;
    const group = memory.read(cpu.current + task.signal);
    let final = code;
    const flags = parts.locks.lockIrqSave(group + signal.siglock);
    if ((memory.read(group + signal.flags) & SIGNAL_GROUP_EXIT) !== 0)
      final = memory.read(group + signal.groupExitCode);
    else if (memory.read(group + signal.groupExecTask) !== 0) final = Signal.KILL;
    else {
      memory.write(group + signal.groupExitCode, code);
      memory.write(group + signal.flags, SIGNAL_GROUP_EXIT);
      this.killOthers(cpu.current);
    }
    parts.locks.unlockIrqRestore(group + signal.siglock, flags);
    this.exit(final);
  }

  /** Whether a signal ends `at`, which may not have noticed.  Linux: fatal_signal_pending. */
  isKilled(at: TaskRef): boolean {
    return (this.memory.load(at + task.pendingSignals) & KILL_BIT) !== 0;
  }

  /** Kills all threads of `at`'s group.  Linux: complete_signal, for SIGKILL.  @rcu read */
  killGroup(at: TaskRef): void {
    const { memory, parts } = this;
    const group = memory.read(at + task.signal);
    const flags = parts.locks.lockIrqSave(group + signal.siglock);
    if ((memory.read(group + signal.flags) & SIGNAL_GROUP_EXIT) === 0) {
      memory.write(group + signal.flags, SIGNAL_GROUP_EXIT);
      memory.write(group + signal.groupExitCode, Signal.KILL);
      this.killOthers(0, group);
    }
    parts.locks.unlockIrqRestore(group + signal.siglock, flags);
  }

  /** Sends SIGKILL to the other threads; how many there are.  Linux: zap_other_threads.  @holds siglock */
  killOthers(of: TaskRef, group = this.memory.read(of + task.signal)): number {
    const { memory } = this;
    const head = group + signal.threads;
    let count = 0;
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const other = link - task.thread;
      if (other === of) continue;
      count++;
      if (memory.load(other + task.exitState) !== 0) continue;
      memory.or(other + task.pendingSignals, KILL_BIT);
      this.signalWakeUp(other);
    }
    return count;
  }

  /** It shall look at its signals: woken, or interrupted where it runs.  Linux: signal_wake_up_state, kick_process. */
  private signalWakeUp(at: TaskRef): void {
    const { memory, cpu, parts } = this;
    memory.or(at + task.threadFlags, ThreadFlag.SIGPENDING);
    if (parts.queues.tryToWakeUp(at, INTERRUPTIBLE | KILLABLE)) return;
    const where = memory.read(at + task.cpu);
    const isRunning = memory.read(parts.queues.of(where) + RunQueue.current) === at;
    if (isRunning && where !== cpu.id) cpu.sendInterrupt(where, Vector.RESCHEDULE);
  }

  /** Linux: mm_release. */
  clearChildTid(at: TaskRef): void {
    if (this.memory.readFloat64(at + task.clearChildTid) === 0) return;
    this.parts.clearChildTid(at);
    this.memory.writeFloat64(at + task.clearChildTid, 0);
  }

  // ---- telling ----

  /** Linux: exit_notify. */
  private notify(at: TaskRef): void {
    const { memory, parts } = this;
    const { table, rwlocks, queues } = parts;
    const dead: TaskRef[] = [];
    const flags = rwlocks.writeLockIrqSave(table.tasklistLock);
    this.leaveChildren(at, dead);
    reached("exit-notify-early");
    if (notifiesEarly) {
      this.notifyParent(at);
      rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
      rwlocks.writeLockIrqSave(table.tasklistLock);
    }
    memory.store(at + task.exitState, EXIT_ZOMBIE);
    const isLeader = memory.read(at + task.groupLeader) === at;
    const isOrphan = memory.read(at + task.parent) === table.init;
    const isReleased = !isLeader || (this.isAlone(at) && (notifiesEarly ? isOrphan : this.notifyParent(at)));
    if (isReleased) {
      memory.store(at + task.exitState, EXIT_DEAD);
      dead.push(at);
    }
    const group = memory.read(at + task.signal);
    if (memory.read(group + signal.notifyCount) < 0)
      queues.tryToWakeUp(memory.read(group + signal.groupExecTask), KILLABLE);
    rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
    for (const each of dead) this.release(each);
  }

  /** Linux: forget_original_parent, find_new_reaper.  @holds tasklist_lock */
  private leaveChildren(at: TaskRef, dead: TaskRef[]): void {
    const { memory } = this;
    const head = at + task.children;
    if (listIsEmpty(memory, head)) return;
    const reaper = this.aliveThread(at) || this.parts.table.init;
    while (!listIsEmpty(memory, head)) {
      const child = memory.read(head) - task.sibling;
      listDel(memory, child + task.sibling);
      listAddTail(memory, child + task.sibling, reaper + task.children);
      const group = memory.read(child + task.signal) + signal.threads;
      for (let link = memory.read(group); link !== group; link = memory.read(link))
        if (memory.read(link - task.thread + task.parent) === at)
          memory.store(link - task.thread + task.parent, reaper);
      if (memory.load(child + task.exitState) !== EXIT_ZOMBIE || !this.isAlone(child)) continue;
      // Linux: reparent_leader.
      if (memory.read(reaper + task.signal) === memory.read(at + task.signal)) continue;
      if (!this.notifyParent(child)) continue;
      memory.store(child + task.exitState, EXIT_DEAD);
      dead.push(child);
    }
  }

  /** Another thread of the group that does not end, or 0.  Linux: find_alive_thread. */
  private aliveThread(at: TaskRef): TaskRef {
    const { memory } = this;
    const head = memory.read(at + task.signal) + signal.threads;
    for (let link = memory.read(head); link !== head; link = memory.read(link))
      if ((memory.read(link - task.thread + task.flags) & TaskFlag.EXITING) === 0) return link - task.thread;
    return 0;
  }

  /** Tells the parent; whether it does not care.  Linux: do_notify_parent.  @holds tasklist_lock */
  private notifyParent(at: TaskRef): boolean {
    const { memory, parts } = this;
    const parent = memory.read(at + task.parent);
    if (parent === parts.table.init) return true;
    parts.waitQueues.wakeAll(memory.read(parent + task.signal) + signal.waitChildExit);
    return false;
  }

  /** Whether it is the only thread that has not been released.  Linux: thread_group_empty.  @holds tasklist_lock */
  isAlone(at: TaskRef): boolean {
    return this.memory.read(this.memory.read(at + task.signal) + signal.threadCount) === 1;
  }

  // ---- releasing ----

  /** Nobody will hear of it any more.  Linux: release_task. */
  release(at: TaskRef): void {
    const { table, rwlocks } = this.parts;
    const { memory } = this;
    for (let next: TaskRef = at; next !== 0; ) {
      const dead = next;
      const flags = rwlocks.writeLockIrqSave(table.tasklistLock);
      next = this.unlist(dead);
      rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
      if (memory.load(dead + task.exitState) !== EXIT_DEAD) memory.store(dead + task.exitState, EXIT_DEAD);
      table.put(dead);
    }
  }

  /** Off all lists; the group's leader if that can be released now.  Linux: __exit_signal, __unhash_process. */
  private unlist(at: TaskRef): TaskRef {
    const { memory, parts } = this;
    const group = memory.read(at + task.signal);
    const leader = memory.read(at + task.groupLeader);
    parts.locks.lock(group + signal.siglock);
    this.addUp(group, at);
    const left = memory.read(group + signal.threadCount) - 1;
    memory.write(group + signal.threadCount, left);
    listDelRcu(memory, at + task.thread);
    const notify = memory.read(group + signal.notifyCount);
    if (notify > 0) memory.write(group + signal.notifyCount, notify - 1);
    parts.locks.unlock(group + signal.siglock);
    if (notify === 1) parts.queues.tryToWakeUp(memory.read(group + signal.groupExecTask), KILLABLE);
    parts.table.detachPid(at);
    if (leader === at) {
      listDelRcu(memory, at + task.processes);
      listDel(memory, at + task.sibling);
      listInit(memory, at + task.sibling);
      return 0;
    }
    if (left !== 1 || memory.load(leader + task.exitState) !== EXIT_ZOMBIE) return 0;
    // The last thread is gone: the leader, which ended before, can be waited for.
    if (!this.notifyParent(leader)) return 0;
    memory.store(leader + task.exitState, EXIT_DEAD);
    return leader;
  }

  private addUp(group: Pointer, at: TaskRef): void {
    const { memory } = this;
    const add = (field: number, value: number): void =>
      memory.writeFloat64(group + field, memory.readFloat64(group + field) + value);
    add(signal.runtimeNs, memory.readFloat64(at + task.runtimeNs));
    add(signal.minFlt, memory.read(at + task.minFlt));
    add(signal.majFlt, memory.read(at + task.majFlt));
    add(signal.switchesVoluntary, memory.read(at + task.switchesVoluntary));
    add(signal.switchesInvoluntary, memory.read(at + task.switchesInvoluntary));
  }

  /** One task less; with the last one all CPUs leave the scheduler's loop. */
  private countDown(): void {
    const { memory, cpu, parts } = this;
    if (memory.add(parts.table.at + TaskGlobals.alive, -1) !== 1) return;
    for (let other = 0; other < parts.queues.cpus; other++) if (other !== cpu.id) cpu.turn.kick(other);
  }
}
