/**
 * The processes that reports can name, and holding on to one while it is read.
 *
 * A task goes by its pid.  An address space that belongs to no task, because a kernel module has made it, goes by its number
 * (`ctxId`), which is small: pids of programs begin at 1000.
 *
 * Linux: fs/proc/base.c get_proc_task, proc_mem_open; kernel/fork.c get_task_mm.  Differs: there is no task_lock; an address
 * space is held on to while it is on the machine's list, and then the task is asked again.
 */

import type { Pointer } from "../../memory/units.ts";
import { MmContext, PgtableGlobals } from "../../mm/pgtable/mm-context.ts";
import { TaskList } from "../../process/tasks/task-list.ts";
import type { TaskRef } from "../../process/tasks/task-state.ts";
import type { MmRef } from "../../process/vm-area.ts";
import { Task } from "../../sync/task.ts";
import type { ProcessSource } from "./source.ts";

/** A task, or an address space without one, as reports know it. */
export interface ProcessView {
  readonly pid: number;
  /** 0: an address space alone. */
  readonly task: TaskRef;
  /** 0: it has none, or not any more. */
  readonly mm: MmRef;
}

/** Every task, process by process, and then every address space that no task has.  Nobody holds on to them. */
export function processesOf(source: ProcessSource): ProcessView[] {
  const { memory } = source;
  const list = new TaskList(source);
  const found: ProcessView[] = [];
  const add = (task: TaskRef): void => {
    found.push({ pid: memory.load(task + Task.pid), task, mm: memory.load(task + Task.mm) });
  };
  list.forEachProcess((leader) => list.forEachThread(leader, add));
  const owned = new Set(found.map(({ mm }) => mm));
  const alone: ProcessView[] = [];
  eachSpace(source, (mm) => {
    if (!owned.has(mm)) alone.push({ pid: numberOf(source, mm), task: 0, mm });
    return false;
  });
  return [...found, ...alone.toSorted((a, b) => a.pid - b.pid)];
}

/** Calls `read` with the process, whose address space stays until it returns; null without such a process.  @may-sleep */
export function withProcess<T>(
  source: ProcessSource,
  pid: number | "self",
  read: (process: ProcessView) => T,
): T | null {
  const { processes, memory, rcu } = source;
  if (pid === "self") {
    const mm = processes.current;
    return mm === 0 ? null : read({ pid: ownPid(source, mm), task: ownTask(source), mm });
  }
  rcu.readLock();
  const task = new TaskList(source).find(pid);
  const wanted = task === 0 ? 0 : memory.load(task + Task.mm);
  const held = task === 0 ? holdByNumber(source, pid) : hold(source, (mm) => mm === wanted);
  // It may have ended, and its place be another's, before it was held.
  const isIts = task === 0 || memory.load(task + Task.mm) === held;
  rcu.readUnlock();
  if (task === 0 && held === 0) return null;
  const result = read({ pid, task, mm: isIts ? held : 0 });
  if (held !== 0) processes.spaces.put(held);
  return result;
}

/** 0: a kernel module on its CPU's own task. */
const ownTask = (source: ProcessSource): TaskRef => {
  const { current } = source.tasks;
  return source.memory.load(current + Task.signal) === 0 ? 0 : current;
};

function ownPid(source: ProcessSource, mm: MmRef): number {
  const task = ownTask(source);
  return task === 0 ? numberOf(source, mm) : source.memory.load(task + Task.pid);
}

const holdByNumber = (source: ProcessSource, number: number): MmRef =>
  hold(source, (mm) => numberOf(source, mm) === number);

/** A reference to the address space that is wanted, or 0: it has ended. */
function hold(source: ProcessSource, isWanted: (mm: MmRef) => boolean): MmRef {
  let held: MmRef = 0;
  eachSpace(source, (mm) => {
    if (isWanted(mm) && source.processes.spaces.getNotZero(mm)) held = mm;
    return held !== 0;
  });
  return held;
}

const numberOf = ({ memory }: ProcessSource, mm: Pointer): number => memory.read(mm + MmContext.ctxId);

/** Visits address spaces until `visit` is content; they are on the list, and may be about to leave it. */
function eachSpace({ paging, processes, spin }: ProcessSource, visit: (mm: MmRef) => boolean): void {
  const { memory, globals } = paging.tables;
  const head = globals + PgtableGlobals.list;
  spin.lock(globals + PgtableGlobals.lock);
  for (let link = memory.read(head); link !== head; link = memory.read(link)) {
    const mm = link - MmContext.list;
    if (processes.spaces.isMm(mm) && visit(mm)) break;
  }
  spin.unlock(globals + PgtableGlobals.lock);
}
