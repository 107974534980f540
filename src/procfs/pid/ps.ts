/**
 * Tasks, a line each, as `ps` would list them: memory in kB, faults, context switches.  Address spaces without a task come last.
 *
 * procps: ps -eLo pid,lwp,stat,psr,vsz,rss,min_flt,comm.
 */

import { TaskList } from "../../process/tasks/task-list.ts";
import { Task } from "../../sync/task.ts";
import { type ProcessView, processesOf, withProcess } from "./process.ts";
import type { ProcessSource } from "./source.ts";
import { spacePages } from "./statm.ts";
import { stateLetter } from "./status.ts";

const PAGE_KB = 4;
const HEAD = ["TGID", "PID", "S", "CPU", "VSZ", "RSS", "MINFLT", "MAJFLT", "SWITCHES"];
const WIDTHS = [6, 6, 1, 3, 9, 9, 8, 6, 8];
const field = Task;

export function ps(source: ProcessSource): string {
  const rows = processesOf(source).map((process) => rowOf(source, process));
  return [[...HEAD, "COMMAND"], ...rows]
    .map((row) => `${row.map((cell, i) => String(cell).padStart(WIDTHS[i] ?? 0)).join(" ")}\n`)
    .join("");
}

function rowOf(source: ProcessSource, { pid, task }: ProcessView): (string | number)[] {
  const sizes = withProcess(source, pid, (process) => {
    const { size, anon, file, shmem } = spacePages(source, process);
    return [size * PAGE_KB, (anon + file + shmem) * PAGE_KB];
  }) ?? [0, 0];
  if (task === 0) return ["-", pid, "-", "-", ...sizes, "-", "-", "-", "(address space)"];
  const { memory, tasks, rcu } = source;
  rcu.readLock();
  const found = new TaskList(source).find(pid);
  const at = (offset: number): number => (found === 0 ? 0 : memory.load(found + offset));
  const [state, name] = found === 0 ? ["X", "(ended)"] : [stateLetter(source, found), tasks.nameOf(found)];
  const switches = at(field.switchesVoluntary) + at(field.switchesInvoluntary);
  const row = [
    at(field.tgid),
    pid,
    state,
    at(field.cpu),
    ...sizes,
    at(field.minFlt),
    at(field.majFlt),
    switches,
    name,
  ];
  rcu.readUnlock();
  return row;
}
