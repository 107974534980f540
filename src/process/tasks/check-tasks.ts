/**
 * Tasks and run queues at rest: no CPU runs one.
 *
 *   K1  the list of processes, the threads of each, and the pid hash have the same tasks, each once
 *   K2  a task is on exactly one run queue, or on none and asleep, or has ended; `running` counts those on a queue
 *   K3  no task is on a CPU; each CPU runs its own task, which has borrowed no address space
 *   K4  an address space has as many users as tasks in it
 *   K5  a thread group's counts are those of its threads; each child is its parent's
 *   K6  no CPU is counted as idle, no futex has waiters but those that sleep
 */

import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { Once } from "../../sync/once.ts";
import type { RcuReaders } from "../../sync/rcu-readers.ts";
import { Task } from "../../sync/task.ts";
import { MmStruct } from "../vm-area.ts";
import {
  FUTEX_BUCKETS,
  FutexBucket,
  PID_HASH,
  RunQueue,
  SignalStruct,
  TaskGlobals,
  type TaskSlots,
} from "./task-layout.ts";
import { TaskList } from "./task-list.ts";
import { OnRq, type TaskRef, TaskState } from "./task-state.ts";

const task = Task;
const rq = RunQueue;
const signal = SignalStruct;
const globals = TaskGlobals;
/** More than any list has. */
const LIMIT = 1 << 16;

export interface TasksView {
  readonly memory: Memory;
  readonly rcu: RcuReaders;
  readonly cpus: number;
  readonly image: { readonly tasksOfPrograms: TaskSlots };
}

/** K1 to K6; how many tasks there are. */
export function checkTasks(view: TasksView): number {
  const { memory, image } = view;
  const at = image.tasksOfPrograms.globals.address;
  // Nobody has used tasks yet.
  if (memory.read(at + globals.once + Once.state) === 0) return 0;
  const all = checkLists(view, at);
  checkQueues(view, all);
  checkUsers(memory, all);
  checkFutexes(memory, at, all);
  const idle = memory.load(at + globals.idleCpus) & 0xffff;
  if (idle !== 0) bug(`K6 ${idle} CPUs are counted as idle at rest`);
  return all.size;
}

function checkLists(view: TasksView, at: Pointer): Set<TaskRef> {
  const { memory } = view;
  const list = new TaskList(view);
  const all = new Set<TaskRef>();
  checkedListLength(memory, at + globals.processes, "list of processes", LIMIT);
  list.forEachProcess((leader) => {
    checkGroup(memory, leader);
    list.forEachThread(leader, (thread) => {
      if (all.has(thread)) bug(`K1 ${nameOf(memory, thread)} is listed twice`);
      all.add(thread);
    });
  });
  let hashed = 0;
  for (let bucket = 0; bucket < PID_HASH; bucket++)
    for (let t = memory.read(at + globals.pidHash + bucket); t !== 0; t = memory.read(t + task.hashNext)) {
      if (!all.has(t)) bug(`K1 ${nameOf(memory, t)} is in the pid hash and on no list`);
      if (memory.read(t + task.pid) % PID_HASH !== bucket)
        bug(`K1 ${nameOf(memory, t)} is in the wrong place of the hash`);
      if (++hashed > LIMIT) bug("K1 the pid hash runs in a circle");
    }
  if (hashed !== all.size) bug(`K1 ${all.size} tasks are listed, ${hashed} are in the pid hash`);
  const alive = [...all].filter((t) => memory.load(t + task.exitState) === 0).length;
  const counted = memory.load(at + globals.alive);
  if (alive !== counted) bug(`K1 ${alive} tasks have not ended, ${counted} are counted`);
  return all;
}

/** K5. */
function checkGroup(memory: Memory, leader: TaskRef): void {
  const group = memory.read(leader + task.signal);
  const threads = checkedListLength(memory, group + signal.threads, "threads", LIMIT);
  const counted = memory.read(group + signal.threadCount);
  const where = `K5 ${nameOf(memory, leader)}`;
  if (threads !== counted) bug(`${where}: ${threads} threads, ${counted} are counted`);
  const head = leader + task.children;
  checkedListLength(memory, head, "children", LIMIT);
  for (let c = memory.read(head); c !== head; c = memory.read(c))
    if (memory.read(c - task.sibling + task.parent) !== leader) bug(`${where}: a child has another parent`);
}

/** K2, K3. */
function checkQueues({ memory, cpus, image }: TasksView, all: Set<TaskRef>): void {
  const queued = new Set<TaskRef>();
  for (let cpu = 0; cpu < cpus; cpu++) {
    const queue = image.tasksOfPrograms.queues.of(cpu);
    const head = queue + rq.queue;
    const length = checkedListLength(memory, head, `run queue of cpu ${cpu}`, LIMIT);
    if (memory.read(queue + rq.running) !== length)
      bug(`K2 cpu ${cpu}: ${length} tasks on the run queue, ${memory.read(queue + rq.running)} are counted`);
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const t = link - task.queued;
      if (!all.has(t)) bug(`K2 cpu ${cpu}: its run queue has something that is no task`);
      if (memory.read(t + task.cpu) !== cpu) bug(`K2 ${nameOf(memory, t)} is on the run queue of cpu ${cpu}`);
      queued.add(t);
    }
    const idle = memory.read(queue + rq.idle);
    if (memory.read(queue + rq.current) !== idle) bug(`K3 cpu ${cpu} runs a task at rest`);
    if (memory.read(queue + rq.previousMm) !== 0)
      bug(`K3 cpu ${cpu} has a switch of address spaces under way`);
    if (memory.read(idle + task.activeMm) !== 0)
      bug(`K3 cpu ${cpu}: its own task has borrowed an address space`);
  }
  for (const t of all) {
    const onRq = memory.load(t + task.onRq);
    const state = memory.load(t + task.state);
    if (memory.load(t + task.onCpu) !== 0) bug(`K3 ${nameOf(memory, t)} is on a CPU at rest`);
    if (onRq !== (queued.has(t) ? OnRq.QUEUED : OnRq.NO)) bug(`K2 ${nameOf(memory, t)}: on_rq is ${onRq}`);
    if (!queued.has(t) && state === TaskState.RUNNING)
      bug(`K2 ${nameOf(memory, t)} is able to run, and on no queue`);
  }
}

/** K4. */
function checkUsers(memory: Memory, all: Set<TaskRef>): void {
  const users = new Map<Pointer, number>();
  for (const t of all) {
    const mm = memory.read(t + task.mm);
    if (mm !== 0) users.set(mm, (users.get(mm) ?? 0) + 1);
  }
  for (const [mm, count] of users) {
    const said = memory.load(mm + MmStruct.users);
    if (said !== count) bug(`K4 mm at word ${mm}: ${count} tasks, ${said} users`);
  }
}

/** K6. */
function checkFutexes(memory: Memory, at: Pointer, all: Set<TaskRef>): void {
  let chained = 0;
  for (let i = 0; i < FUTEX_BUCKETS; i++) {
    const bucket = at + globals.futexes + i * wordsIn(FutexBucket);
    const length = checkedListLength(memory, bucket + FutexBucket.chain, `futex bucket ${i}`, LIMIT);
    const counted = memory.load(bucket + FutexBucket.waiters);
    if (length !== counted) bug(`K6 futex bucket ${i}: ${length} tasks wait, ${counted} are counted`);
    chained += length;
  }
  const waiting = [...all].filter((t) => memory.load(t + task.futexBucket) !== 0).length;
  if (waiting !== chained) bug(`K6 ${waiting} tasks wait for a futex, ${chained} are queued`);
}

const nameOf = (memory: Memory, at: TaskRef): string => `task ${memory.read(at + task.pid)}`;
