/**
 * Tasks as objects: made, given a pid, put on the lists, and freed after a grace period.
 *
 * A task has two references: one until its parent has heard of its end (release_task), one until the CPU that ran it last
 * has switched away.  Who drops the last one has it freed when all readers of RCU are through.
 *
 * Linux: kernel/fork.c dup_task_struct, put_task_struct_rcu_user, put_signal_struct; kernel/pid.c alloc_pid.
 * Differs: pids are given in order from 1000 on (Linux: from 300, after those of the kernel); a free one is found by
 * looking in the hash.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { PerCpuSlot } from "../../memory/image.ts";
import { listDel, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Gfp } from "../../mm/pages/gfp.ts";
import type { SlabCaches } from "../../mm/slab/slab-caches.ts";
import { SlabFlag } from "../../mm/slab/slab-flags.ts";
import type { Barriers } from "../../sync/barrier.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { Onces } from "../../sync/once.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { RwLocks } from "../../sync/rwlock.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task, type Tasks } from "../../sync/task.ts";
import type { WaitQueues } from "../../sync/wait-queue.ts";
import type { RunQueues } from "./run-queues.ts";
import {
  FUTEX_BUCKETS,
  FutexBucket,
  PID_HASH,
  SignalStruct,
  TaskGlobals,
  type TaskSlots,
} from "./task-layout.ts";
import type { TaskList } from "./task-list.ts";
import { type TaskRef, TaskState } from "./task-state.ts";

const task = Task;
const signal = SignalStruct;
const globals = TaskGlobals;

/** Below are the CPUs' own tasks. */
export const FIRST_PID = 1000;
/** Linux: PID_MAX_DEFAULT. */
const PID_MAX = 32768;

export interface TaskTableParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwlocks: RwLocks;
  readonly masks: CpuMasks;
  readonly functions: Functions;
  readonly onces: Onces;
  readonly barriers: Barriers;
  readonly rcu: Rcu;
  readonly slabs: SlabCaches;
  readonly tasks: Tasks;
  readonly waitQueues: WaitQueues;
  readonly slots: TaskSlots;
  readonly list: TaskList;
  readonly queues: RunQueues;
  /** Each CPU's own task; that of CPU 0 is init. */
  readonly ownTasks: PerCpuSlot;
}

export class TaskTable {
  /** The machine's `task_globals`. */
  declare readonly at: Pointer;
  declare readonly init: TaskRef;
  declare private readonly memory: Memory;
  declare private readonly parts: TaskTableParts;
  declare private readonly freeFunction: FunctionId;

  constructor(parts: TaskTableParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.at = parts.slots.globals.address;
    this.init = parts.ownTasks.of(0);
    const free = (head: Pointer): void => this.free(head - task.rcu);
    this.freeFunction = parts.functions.register("delayed_put_task_struct", (_cpu, head) => free(head));
  }

  /** Makes what all tasks share, if nobody has.  Linux: fork_init, signals_init, futex_init.  @may-sleep */
  start(): void {
    const { memory, at } = this;
    const { onces, slabs, rwlocks, locks } = this.parts;
    onces.call(at + globals.once, () => {
      const cache = (name: string, layout: object): Pointer => {
        const objectBytes = wordsIn(layout) * WORD_BYTES;
        const made = slabs.create({ name, objectBytes, flags: SlabFlag.HWCACHE_ALIGN });
        return made === 0 ? bug(`no memory for the object cache ${name}`) : made;
      };
      memory.write(at + globals.taskCache, cache("task_struct", Task));
      memory.write(at + globals.signalCache, cache("signal_cache", SignalStruct));
      rwlocks.format(at + globals.tasklistLock, LockClass.TASKLIST);
      locks.format(at + globals.pidLock, LockClass.PIDMAP);
      listInit(memory, at + globals.processes);
      memory.write(at + globals.lastPid, FIRST_PID - 1);
      memory.write(at + globals.init, this.init);
      this.parts.barriers.format(at + globals.meeting, this.parts.queues.cpus);
      listInit(memory, this.init + task.children);
      this.parts.queues.format((cpu) => this.parts.ownTasks.of(cpu));
      for (let i = 0; i < FUTEX_BUCKETS; i++) {
        const bucket = at + globals.futexes + i * wordsIn(FutexBucket);
        locks.format(bucket + FutexBucket.lock, LockClass.FUTEX);
        listInit(memory, bucket + FutexBucket.chain);
      }
    });
  }

  get tasklistLock(): Pointer {
    return this.at + globals.tasklistLock;
  }

  /** A task with two references, on no list and with no pid; 0 without memory.  Linux: dup_task_struct.  @may-sleep */
  allocate(): TaskRef {
    const { memory, parts } = this;
    const at = parts.slabs.alloc(memory.read(this.at + globals.taskCache), Gfp.KERNEL);
    if (at === 0) return 0;
    memory.fill(at, wordsIn(Task), 0);
    memory.store(at + task.state, TaskState.NEW);
    memory.store(at + task.usage, 2);
    parts.locks.format(at + task.wakeLock, LockClass.PID);
    for (const list of [task.queued, task.processes, task.thread, task.children, task.sibling, task.wait])
      listInit(memory, at + list);
    listInit(memory, at + task.futexLink);
    memory.writeFloat64(at + task.startNs, parts.cpu.nowNs());
    return at;
  }

  /** A thread group without threads; 0 without memory.  Linux: copy_signal.  @may-sleep */
  allocateSignal(): Pointer {
    const { memory, parts } = this;
    const at = parts.slabs.alloc(memory.read(this.at + globals.signalCache), Gfp.KERNEL);
    if (at === 0) return 0;
    memory.fill(at, wordsIn(SignalStruct), 0);
    parts.locks.format(at + signal.siglock, LockClass.SIGLOCK);
    parts.waitQueues.format(at + signal.waitChildExit);
    listInit(memory, at + signal.threads);
    memory.store(at + signal.references, 1);
    memory.store(at + signal.live, 1);
    return at;
  }

  /** Of a task that has never been seen.  Linux: bad_fork_free. */
  discard(at: TaskRef): void {
    this.free(at);
  }

  /** Takes one more reference to a task that has one. */
  get(at: TaskRef): void {
    this.memory.add(at + task.usage, 1);
  }

  /** Drops one of a task's references.  Linux: put_task_struct_rcu_user. */
  put(at: TaskRef): void {
    const before = this.memory.add(at + task.usage, -1);
    if (before < 1) bug(`put of task at word ${at}, which has ${before} references`);
    if (before === 1) this.parts.rcu.call(at + task.rcu, this.freeFunction);
  }

  /** Linux: put_signal_struct. */
  putSignal(at: Pointer): void {
    if (this.memory.add(at + signal.references, -1) === 1)
      this.parts.slabs.free(this.memory.read(this.at + globals.signalCache), at);
  }

  // ---- pids ----

  /** A pid that no task has, published for `at`.  Linux: alloc_pid, attach_pid. */
  attachPid(at: TaskRef): number {
    const { memory } = this;
    const { locks, rcu, list } = this.parts;
    const flags = locks.lockIrqSave(this.at + globals.pidLock);
    let pid = memory.read(this.at + globals.lastPid);
    rcu.readLock();
    do pid = pid + 1 >= PID_MAX ? FIRST_PID : pid + 1;
    while (list.find(pid) !== 0);
    rcu.readUnlock();
    memory.write(this.at + globals.lastPid, pid);
    memory.write(at + task.pid, pid);
    this.hash(at, pid);
    locks.unlockIrqRestore(this.at + globals.pidLock, flags);
    return pid;
  }

  /** Nobody finds `at` by its pid any more.  Linux: detach_pid. */
  detachPid(at: TaskRef): void {
    const { memory } = this;
    const { locks } = this.parts;
    const flags = locks.lockIrqSave(this.at + globals.pidLock);
    const pid = memory.read(at + task.pid);
    let link = this.at + globals.pidHash + (pid % PID_HASH);
    for (let found = memory.read(link); found !== at; found = memory.read(link)) {
      if (found === 0) bug(`task ${pid} is not in the pid hash`);
      link = found + task.hashNext;
    }
    // Its own link stays: a reader that stands on it goes on.
    memory.store(link, memory.read(at + task.hashNext));
    locks.unlockIrqRestore(this.at + globals.pidLock, flags);
  }

  /** `to` has the pid that `from` had, and the other way round.  Linux: exchange_tids.  @holds tasklist_lock */
  exchangePids(from: TaskRef, to: TaskRef): void {
    const { memory } = this;
    const first = memory.read(from + task.pid);
    const second = memory.read(to + task.pid);
    this.detachPid(from);
    this.detachPid(to);
    const { locks } = this.parts;
    const flags = locks.lockIrqSave(this.at + globals.pidLock);
    for (const [at, pid] of [
      [from, second],
      [to, first],
    ]) {
      memory.store(at + task.pid, pid);
      this.hash(at, pid);
    }
    locks.unlockIrqRestore(this.at + globals.pidLock, flags);
  }

  /** @holds pidmap_lock */
  private hash(at: TaskRef, pid: number): void {
    const bucket = this.at + globals.pidHash + (pid % PID_HASH);
    this.memory.write(at + task.hashNext, this.memory.read(bucket));
    this.memory.store(bucket, at);
  }

  private free(at: TaskRef): void {
    const { memory, parts } = this;
    const group = memory.read(at + task.signal);
    if (group !== 0) this.putSignal(group);
    parts.slabs.free(memory.read(this.at + globals.taskCache), at);
  }
}

/** Takes a link out of a list that readers walk under RCU: it still leads on.  Linux: list_del_rcu. */
export function listDelRcu(memory: Memory, link: Pointer): void {
  listDel(memory, link);
}

/** Linux: list_add_tail_rcu. */
export function listAddTailRcu(memory: Memory, link: Pointer, head: Pointer): void {
  const last = memory.read(head + 1);
  memory.write(link, head);
  memory.write(link + 1, last);
  memory.write(head + 1, link);
  memory.store(last, link);
}
