/**
 * What tasks share: thread groups, run queues, and what the machine has once.
 *
 * Linux: include/linux/sched/signal.h struct signal_struct; kernel/sched/sched.h struct rq; kernel/futex/futex.h.
 */

import type { ImageLayout, PerCpuSlot, Slot } from "../../memory/image.ts";
import { ListHead } from "../../memory/list.ts";
import { array, embed, float64, pad, struct, word } from "../../memory/struct.ts";
import { Barrier } from "../../sync/barrier.ts";
import { Once } from "../../sync/once.ts";
import { RwLock } from "../../sync/rwlock.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { WaitQueueHead } from "../../sync/wait-queue.ts";

/** A thread group: a process.  Linux: signal_struct, and of sighand_struct its lock. */
export const SignalStruct = struct("signal_struct", {
  siglock: embed(SpinLock, "atomic"),
  /** Tasks that refer to it; those that have not begun to end; those not released. */
  references: word("atomic", "counter"),
  live: word("atomic", "counter"),
  threadCount: word("lock:tasklist_lock", "counter"),
  flags: word("hint:siglock", "flags"),
  groupExitCode: word("hint:siglock"),
  /** The thread that waits in exec until it is the only one. */
  groupExecTask: word("hint:siglock", "pointer:task"),
  /** Threads that it waits for; -1: for the leader to end.  Linux: notify_count. */
  notifyCount: word("hint:siglock", "counter"),
  threads: embed(ListHead, "rcu:tasklist_lock"),
  /** Threads that wait for children. */
  waitChildExit: embed(WaitQueueHead, "lock:wait_queue.lock"),
  /** Of threads that have been released. */
  runtimeNs: float64("hint:siglock"),
  minFlt: float64("hint:siglock"),
  majFlt: float64("hint:siglock"),
  switchesVoluntary: float64("hint:siglock"),
  switchesInvoluntary: float64("hint:siglock"),
  /** Of children that have been waited for, and theirs. */
  childRuntimeNs: float64("hint:siglock"),
  childMinFlt: float64("hint:siglock"),
  childMajFlt: float64("hint:siglock"),
});

export const RunQueue = struct("rq", {
  lock: embed(SpinLock, "atomic"),
  /** Tasks that are able to run; the running one is not among them, and is counted. */
  queue: embed(ListHead, "lock:rq.lock"),
  running: word("hint:lock:rq.lock", "counter"),
  /** Who runs.  Linux: curr. */
  current: word("hint:lock:rq.lock", "pointer:task"),
  idle: word("boot", "pointer:task"),
  /** The address space that the switch under way lets go.  Linux: prev_mm. */
  previousMm: word("owner-cpu", "pointer:mm_struct"),
  /** Whether the CPU is in the scheduler's loop: others may interrupt it. */
  isOnline: word("hint:lock:rq.lock", "flags"),
  /** The plain function that waits on top of all others of this CPU: the only started one that can go on. */
  top: word("hint:owner-cpu", "pointer:task"),
  switches: float64("hint:owner-cpu"),
  /** Tasks that were woken here, and by other CPUs; that were pulled from others. */
  wakeUps: float64("hint:lock:rq.lock"),
  remoteWakeUps: float64("hint:lock:rq.lock"),
  pulled: float64("hint:lock:rq.lock"),
  forks: float64("hint:owner-cpu"),
  end: pad(),
});

export const FutexBucket = struct("futex_hash_bucket", {
  lock: embed(SpinLock, "atomic"),
  waiters: word("atomic", "counter"),
  unused: word("boot"),
  chain: embed(ListHead, "lock:futex_hash_bucket.lock"),
  end: pad(),
});

export const PID_HASH = 256;
export const FUTEX_BUCKETS = 32;

export const TaskGlobals = struct("task_globals", {
  once: embed(Once, "atomic"),
  taskCache: word("boot", "pointer:kmem_cache"),
  signalCache: word("boot", "pointer:kmem_cache"),
  tasklistLock: embed(RwLock, "atomic"),
  pidLock: embed(SpinLock, "atomic"),
  /** Group leaders, oldest first.  Linux: init_task.tasks. */
  processes: embed(ListHead, "rcu:tasklist_lock"),
  /** CPU 0's own task, which has the orphans. */
  init: word("boot", "pointer:task"),
  lastPid: word("lock:pidmap_lock"),
  own: pad(),
  /** Tasks that have not ended; CPUs that have nothing to run (16 bits), and how often one of them has left. */
  alive: word("atomic", "counter"),
  idleCpus: word("atomic", "counter"),
  pidHash: array(PID_HASH, "rcu:tasklist_lock", "pointer:task"),
  /** Where all CPUs meet before they run tasks. */
  meeting: embed(Barrier, "atomic"),
  futexes: embed(FutexBucket, "atomic", FUTEX_BUCKETS),
});

export interface TaskSlots {
  readonly globals: Slot;
  readonly queues: PerCpuSlot;
}

export function declareTasks(layout: ImageLayout): TaskSlots {
  return {
    globals: layout.place("task_globals", TaskGlobals),
    queues: layout.perCpu("rq", RunQueue),
  };
}
