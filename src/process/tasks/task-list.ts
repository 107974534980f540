/**
 * Looking tasks up: by pid, all processes, all threads of one.  Readers need an RCU section and no lock: what they find stays
 * a task until the section ends, though it may have been released meanwhile.
 *
 * Linux: kernel/pid.c find_task_by_vpid, include/linux/sched/signal.h for_each_process, for_each_thread.
 */

import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import type { RcuReaders } from "../../sync/rcu-readers.ts";
import { Task } from "../../sync/task.ts";
import { PID_HASH, SignalStruct, TaskGlobals, type TaskSlots } from "./task-layout.ts";
import type { TaskRef } from "./task-state.ts";

const task = Task;
const globals = TaskGlobals;

export interface TaskListParts {
  readonly memory: Memory;
  readonly rcu: RcuReaders;
  readonly image: { readonly tasksOfPrograms: TaskSlots };
}

export class TaskList {
  declare private readonly memory: Memory;
  declare private readonly rcu: RcuReaders;
  declare private readonly at: Pointer;

  constructor({ memory, rcu, image }: TaskListParts) {
    this.memory = memory;
    this.rcu = rcu;
    this.at = image.tasksOfPrograms.globals.address;
  }

  /** The task with this pid, or 0.  Linux: find_task_by_vpid.  @rcu read */
  find(pid: number): TaskRef {
    const { memory, rcu } = this;
    let at = rcu.dereference(this.at + globals.pidHash + (pid % PID_HASH));
    while (at !== 0 && memory.load(at + task.pid) !== pid) at = rcu.dereference(at + task.hashNext);
    return at;
  }

  /** Visits each process by its group leader, oldest first.  Linux: for_each_process.  Takes an RCU section. */
  forEachProcess(visit: (leader: TaskRef) => void): void {
    this.each(this.at + globals.processes, task.processes, visit);
  }

  /** Visits each thread of the process of `of`.  Linux: for_each_thread.  Takes an RCU section. */
  forEachThread(of: TaskRef, visit: (thread: TaskRef) => void): void {
    this.rcu.readLock();
    const signal = this.memory.load(of + task.signal);
    if (signal !== 0) this.each(signal + SignalStruct.threads, task.thread, visit);
    this.rcu.readUnlock();
  }

  private each(head: Pointer, link: number, visit: (at: TaskRef) => void): void {
    const { rcu } = this;
    rcu.readLock();
    // Before the first task nobody has made the list.
    for (let at = rcu.dereference(head); at !== head && at !== 0; at = rcu.dereference(at)) visit(at - link);
    rcu.readUnlock();
  }
}
