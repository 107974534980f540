/**
 * New tasks: processes with a copy of their parent's address space, threads that share it, and the first ones, which a kernel
 * module starts.
 *
 * A new task is published under tasklist_lock and siglock, where its parent looks once more whether a signal has ended its
 * group: who kills all threads, under siglock, misses none.
 *
 * Linux: kernel/fork.c copy_process, kernel_clone; fs/exec.c begin_new_exec, de_thread, exec_mmap; fs/binfmt_elf.c.
 * Differs: a child begins with a program of its own instead of returning from fork.  exec makes the new address space after
 * the other threads are gone: without memory for one the process is killed.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { UsageError } from "../../memory/bug.ts";
import { Errno } from "../../memory/errno.ts";
import { listAddTail, listDel } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { RwLocks } from "../../sync/rwlock.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { TASK_ARGUMENTS, Task, type Tasks } from "../../sync/task.ts";
import type { AddressSpaces } from "../address-spaces.ts";
import type { SystemCalls } from "../system-calls.ts";
import type { MmRef } from "../vm-area.ts";
import type { ExitTask } from "./exit-task.ts";
import { makeProgramSpace } from "./program-space.ts";
import type { Programs } from "./programs.ts";
import type { RunQueues } from "./run-queues.ts";
import { RunQueue, SignalStruct, TaskGlobals } from "./task-layout.ts";
import { SIGNAL_GROUP_EXIT, Signal, type TaskRef, TaskState } from "./task-state.ts";
import { listAddTailRcu, listDelRcu, type TaskTable } from "./task-table.ts";

const task = Task;
const signal = SignalStruct;

/** Linux: CLONE_*. */
export const CloneFlag = {
  VM: 0x100,
  SIGHAND: 0x800,
  PARENT: 0x8000,
  THREAD: 0x10000,
  CHILD_CLEARTID: 0x200000,
} as const;
const c = CloneFlag;
const KNOWN = c.VM | c.SIGHAND | c.PARENT | c.THREAD | c.CHILD_CLEARTID;

/** What a new task is. */
export interface NewTask {
  readonly program: string;
  readonly values: readonly number[];
  readonly flags: number;
  /** Where its end is written to, with CHILD_CLEARTID. */
  readonly childTid: number;
}

export interface ForkTaskParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwlocks: RwLocks;
  readonly masks: CpuMasks;
  readonly tasks: Tasks;
  readonly spaces: AddressSpaces;
  readonly calls: SystemCalls;
  readonly programs: Programs;
  readonly table: TaskTable;
  readonly queues: RunQueues;
  readonly exits: ExitTask;
}

export class ForkTask {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: ForkTaskParts;

  constructor(parts: ForkTaskParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  /** A process of its own, whose parent is init; its pid, or a negated errno.  `cpus` empty: any.  @may-sleep */
  spawn(program: string, values: readonly number[], cpus: readonly number[]): number {
    const { memory, parts } = this;
    parts.table.start();
    const place = this.childOf(program, values);
    if (place < 0) return place;
    const mm = makeProgramSpace(parts);
    if (mm === 0) return -Errno.ENOMEM;
    const group = parts.table.allocateSignal();
    const at = group === 0 ? 0 : this.make(parts.table.init, mm, group);
    if (at === 0) return this.fail(mm, group);
    for (let cpu = 0; cpu < parts.queues.cpus; cpu++)
      if (cpus.length === 0 || cpus.includes(cpu)) parts.masks.addOwn(at + task.cpusMask, cpu);
    this.load(at, place, values);
    memory.write(at + task.exitSignal, Signal.CHLD);
    memory.write(at + task.groupLeader, at);
    this.publish(at, parts.table.init, group);
    return this.begin(at);
  }

  /** A child of the running task: a process, or a thread; its pid, or a negated errno.  @may-sleep */
  clone({ program, values, flags, childTid }: NewTask): number {
    const { memory, cpu, parts } = this;
    if ((flags & ~KNOWN) !== 0) return -Errno.EINVAL;
    if ((flags & c.THREAD) !== 0 && (flags & c.SIGHAND) === 0) return -Errno.EINVAL;
    if ((flags & c.SIGHAND) !== 0 && (flags & c.VM) === 0) return -Errno.EINVAL;
    const place = this.childOf(program, values);
    if (place < 0) return place;
    const parent = cpu.current;
    const isThread = (flags & c.THREAD) !== 0;
    const mm = this.copyMm(parent, (flags & c.VM) !== 0);
    if (mm < 0) return mm;
    const group = isThread ? this.shareSignal(parent) : parts.table.allocateSignal();
    const at = group === 0 ? 0 : this.make(parent, mm, group);
    if (at === 0) {
      if (isThread) memory.add(group + signal.live, -1);
      return this.fail(mm, group);
    }
    parts.masks.copy(at + task.cpusMask, parent + task.cpusMask);
    if ((flags & c.CHILD_CLEARTID) !== 0) memory.writeFloat64(at + task.clearChildTid, childTid);
    this.load(at, place, values);
    memory.write(at + task.exitSignal, isThread ? -1 : Signal.CHLD);
    memory.write(at + task.groupLeader, isThread ? memory.read(parent + task.groupLeader) : at);
    const keepsParent = isThread || (flags & c.PARENT) !== 0;
    const isPublished = this.publish(at, keepsParent ? 0 : parent, group);
    if (isPublished) return this.begin(at);
    if (isThread) memory.add(group + signal.live, -1);
    parts.spaces.put(mm);
    parts.table.discard(at);
    return -Errno.EINTR;
  }

  /** Program, arguments and name of a task that does not run.  Linux: start_thread, __set_task_comm. */
  load(at: TaskRef, place: number, values: readonly number[]): void {
    const { memory, parts } = this;
    const { name, form } = parts.programs.at(place);
    memory.write(at + task.form, form);
    memory.write(at + task.program, place);
    memory.write(at + task.argumentCount, values.length);
    memory.write(at + task.isStarted, 0);
    memory.fill(at + task.registers, task.tgid - task.registers, 0);
    for (const [i, value] of values.entries()) {
      memory.writeFloat64(at + task.arguments + 2 * i, value);
      memory.writeFloat64(at + task.registers + 2 * i, value);
    }
    parts.tasks.rename(at, name);
  }

  /** The place of a program that can be given these arguments, or -EINVAL.  Throws a UsageError when there is none. */
  private childOf(program: string, values: readonly number[]): number {
    const place = this.placeOf(program, values);
    if (place === -Errno.ENOENT)
      throw new UsageError(
        `there is no program "${program}" to begin with; valid are the exports ${this.parts.programs.names.join(", ")}`,
      );
    return place;
  }

  /** The same for exec: -ENOENT when there is none. */
  placeOf(program: string, values: readonly number[]): number {
    if (values.length > TASK_ARGUMENTS || !values.every(Number.isSafeInteger)) return -Errno.EINVAL;
    const place = this.parts.programs.placeOf(program);
    return place < 0 ? -Errno.ENOENT : place;
  }

  private copyMm(parent: TaskRef, isShared: boolean): MmRef {
    const mm = this.memory.read(parent + task.mm);
    if (!isShared) return this.parts.calls.fork(mm);
    this.parts.spaces.get(mm);
    return mm;
  }

  private shareSignal(parent: TaskRef): Pointer {
    const group = this.memory.read(parent + task.signal);
    this.memory.add(group + signal.references, 1);
    this.memory.add(group + signal.live, 1);
    return group;
  }

  private fail(mm: MmRef, group: Pointer): number {
    if (group !== 0) this.parts.table.putSignal(group);
    this.parts.spaces.put(mm);
    return -Errno.ENOMEM;
  }

  private make(parent: TaskRef, mm: MmRef, group: Pointer): TaskRef {
    const { memory, parts } = this;
    const at = parts.table.allocate();
    if (at === 0) return 0;
    memory.write(at + task.mm, mm);
    memory.write(at + task.activeMm, mm);
    memory.write(at + task.signal, group);
    memory.write(at + task.cpu, this.cpu.id);
    memory.write(at + task.parent, parent);
    return at;
  }

  /** From here on it is found.  `parent` 0: that of the running task.  False when a signal has ended the running one. */
  private publish(at: TaskRef, parent: TaskRef, group: Pointer): boolean {
    const { memory, cpu, parts } = this;
    const { table, rwlocks, locks } = parts;
    const isLeader = memory.read(at + task.groupLeader) === at;
    const flags = rwlocks.writeLockIrqSave(table.tasklistLock);
    locks.lock(group + signal.siglock);
    const isDoomed = parent !== table.init && parts.exits.isKilled(cpu.current);
    if (!isDoomed) {
      const real = parent === 0 ? memory.read(cpu.current + task.parent) : parent;
      memory.write(at + task.parent, real);
      if (isLeader) {
        memory.write(at + task.tgid, table.attachPid(at));
        listAddTail(memory, at + task.sibling, real + task.children);
        listAddTailRcu(memory, at + task.processes, table.at + TaskGlobals.processes);
      } else {
        memory.write(at + task.tgid, memory.read(cpu.current + task.tgid));
        table.attachPid(at);
      }
      listAddTailRcu(memory, at + task.thread, group + signal.threads);
      memory.write(group + signal.threadCount, memory.read(group + signal.threadCount) + 1);
    }
    locks.unlock(group + signal.siglock);
    rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
    return !isDoomed;
  }

  private begin(at: TaskRef): number {
    const { memory, parts } = this;
    const pid = memory.read(at + task.pid);
    memory.add(parts.table.at + TaskGlobals.alive, 1);
    const { own } = parts.queues;
    memory.writeFloat64(own + RunQueue.forks, memory.readFloat64(own + RunQueue.forks) + 1);
    parts.queues.wakeUpNew(at);
    return pid;
  }

  // ---- exec ----

  /**
   * Makes the running task the only thread of its group, in steps: true when it is, null when it must sleep first, false when
   * another thread has been faster and ends it.  Linux: de_thread.
   */
  becomeOnly(): boolean | null {
    const { memory, cpu, parts } = this;
    const at = cpu.current;
    const group = memory.read(at + task.signal);
    const isLeader = memory.read(at + task.groupLeader) === at;
    const flags = parts.locks.lockIrqSave(group + signal.siglock);
    const exec = memory.read(group + signal.groupExecTask);
    const isEnding = (memory.read(group + signal.flags) & SIGNAL_GROUP_EXIT) !== 0;
    let verdict: boolean | null = true;
    if (isEnding || (exec !== 0 && exec !== at)) verdict = false;
    else if (exec === 0 && memory.read(group + signal.threadCount) > 1) {
      memory.write(group + signal.groupExecTask, at);
      memory.write(group + signal.notifyCount, parts.exits.killOthers(at) - (isLeader ? 0 : 1));
    }
    if (verdict && memory.read(group + signal.notifyCount) > 0) {
      memory.store(at + task.state, TaskState.KILLABLE);
      verdict = null;
    }
    parts.locks.unlockIrqRestore(group + signal.siglock, flags);
    if (!verdict || isLeader) return this.execDone(group, verdict);
    return this.takeOver(at, group);
  }

  /** The leader has ended, or is waited for: the running thread takes its place. */
  private takeOver(at: TaskRef, group: Pointer): boolean | null {
    const { memory, parts } = this;
    const { rwlocks, table } = parts;
    const leader = memory.read(at + task.groupLeader);
    const flags = rwlocks.writeLockIrqSave(table.tasklistLock);
    memory.write(group + signal.notifyCount, -1);
    if (memory.load(leader + task.exitState) === 0) {
      memory.store(at + task.state, TaskState.KILLABLE);
      rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
      return null;
    }
    table.exchangePids(at, leader);
    memory.write(leader + task.groupLeader, at);
    memory.write(at + task.groupLeader, at);
    memory.write(at + task.exitSignal, Signal.CHLD);
    memory.write(leader + task.exitSignal, -1);
    listDel(memory, leader + task.sibling);
    listAddTail(memory, at + task.sibling, memory.read(at + task.parent) + task.children);
    listDelRcu(memory, leader + task.processes);
    listAddTailRcu(memory, at + task.processes, table.at + TaskGlobals.processes);
    memory.store(leader + task.exitState, TaskState.EXIT_DEAD);
    rwlocks.writeUnlockIrqRestore(table.tasklistLock, flags);
    parts.exits.release(leader);
    return this.execDone(group, true);
  }

  private execDone(group: Pointer, verdict: boolean | null): boolean | null {
    if (verdict !== true) return verdict;
    const { memory } = this;
    memory.write(group + signal.groupExecTask, 0);
    memory.write(group + signal.notifyCount, 0);
    return true;
  }
}
