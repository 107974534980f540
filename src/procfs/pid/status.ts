/**
 * /proc/PID/status: what a process is, and its memory.
 *
 * Linux: fs/proc/array.c proc_pid_status; fs/proc/task_mmu.c task_mem.  Differs: users, signals but the pending ones, and capabilities
 * have no lines.
 */

import { PAGE_BYTES } from "../../memory/units.ts";
import { MmContext } from "../../mm/pgtable/mm-context.ts";
import { TaskList } from "../../process/tasks/task-list.ts";
import { type TaskRef, TaskState } from "../../process/tasks/task-state.ts";
import { Task, TaskFlag } from "../../sync/task.ts";
import { statusKbLine } from "./layout.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";
import { spacePages } from "./statm.ts";

const field = Task;
const PAGE_KB = PAGE_BYTES / 1024;

export function status(source: ProcessSource, process: ProcessView): string {
  const { rcu } = source;
  // The task stays until the section ends, if it is there still.
  rcu.readLock();
  const task = process.task === 0 ? 0 : new TaskList(source).find(process.pid);
  const own = { ...process, task };
  const lines = [
    ...(task === 0 ? [] : taskLines(source, own)),
    ...(process.mm === 0 ? [] : memoryLines(source, own)),
    ...(task === 0 ? [] : runLines(source, own)),
  ];
  rcu.readUnlock();
  return lines.map((line) => `${line}\n`).join("");
}

/** Linux: get_task_state, task_state_array. */
export function stateLetter({ memory }: ProcessSource, task: TaskRef): string {
  const exit = memory.load(task + field.exitState);
  if ((exit & TaskState.EXIT_DEAD) !== 0) return "X";
  if ((exit & TaskState.EXIT_ZOMBIE) !== 0) return "Z";
  const state = memory.load(task + field.state);
  if ((state & TaskState.INTERRUPTIBLE) !== 0) return "S";
  return (state & TaskState.UNINTERRUPTIBLE) !== 0 ? "D" : "R";
}

const STATE_NAMES: Readonly<Record<string, string>> = {
  R: "running",
  S: "sleeping",
  D: "disk sleep",
  Z: "zombie",
  X: "dead",
};

/** Linux: task_state.  @rcu read */
function taskLines(source: ProcessSource, { pid, task }: ProcessView): string[] {
  const { memory, tasks, rcu } = source;
  const letter = stateLetter(source, task);
  const parent = rcu.dereference(task + field.parent);
  const parentPid = parent === 0 ? 0 : memory.load(parent + field.tgid);
  const isKernelThread = (memory.load(task + field.flags) & TaskFlag.KTHREAD) !== 0;
  return [
    `Name:\t${tasks.nameOf(task)}`,
    `State:\t${letter} (${STATE_NAMES[letter]})`,
    `Tgid:\t${memory.load(task + field.tgid)}`,
    "Ngid:\t0",
    `Pid:\t${pid}`,
    `PPid:\t${parentPid}`,
    `Kthread:\t${isKernelThread ? 1 : 0}`,
  ];
}

/** Linux: proc_pid_status after task_mem: task_sig, task_cpus_allowed, task_context_switch_counts. */
function runLines(source: ProcessSource, { task }: ProcessView): string[] {
  const { memory, masks, topology } = source;
  let threads = 0;
  new TaskList(source).forEachThread(task, () => {
    threads++;
  });
  const pending = memory.load(task + field.pendingSignals) >>> 0;
  const allowed = task + field.cpusMask;
  return [
    `Threads:\t${threads}`,
    `SigPnd:\t${pending.toString(16).padStart(16, "0")}`,
    `Cpus_allowed:\t${maskText(source, allowed, topology.possibleCpus)}`,
    `Cpus_allowed_list:\t${masks.list(allowed)}`,
    `voluntary_ctxt_switches:\t${memory.load(task + field.switchesVoluntary)}`,
    `nonvoluntary_ctxt_switches:\t${memory.load(task + field.switchesInvoluntary)}`,
  ];
}

/** A mask as hexadecimal digits, 32 CPUs between commas, the last CPU first.  Linux: bitmap_string. */
function maskText({ memory }: ProcessSource, mask: number, cpus: number): string {
  const words = Array.from({ length: Math.ceil(cpus / 32) }, (_, w) => memory.load(mask + w) >>> 0);
  const digits = (w: number): number => Math.ceil(Math.min(32, cpus - 32 * w) / 4);
  return words
    .map((word, w) => word.toString(16).padStart(digits(w), "0"))
    .toReversed()
    .join(",");
}

/** Linux: task_mem. */
function memoryLines(source: ProcessSource, process: ProcessView): string[] {
  const pages = spacePages(source, process);
  const { memory } = source.paging.tables;
  const rows: readonly (readonly [string, number])[] = [
    ["VmPeak", pages.mostSize],
    ["VmSize", pages.size],
    ["VmLck", pages.locked],
    ["VmPin", 0],
    ["VmHWM", pages.mostResident],
    ["VmRSS", pages.anon + pages.file + pages.shmem],
    ["RssAnon", pages.anon],
    ["RssFile", pages.file],
    ["RssShmem", pages.shmem],
    ["VmData", pages.data],
    ["VmStk", pages.stack],
    ["VmExe", pages.text],
    ["VmLib", pages.exec - pages.text],
    ["VmPTE", memory.read(process.mm + MmContext.tableBytes) / PAGE_BYTES],
    ["VmSwap", pages.swap],
    ["HugetlbPages", 0],
  ];
  return [
    ...rows.map(([key, count]) => statusKbLine(key, count * PAGE_KB)),
    "CoreDumping:\t0",
    "THP_enabled:\t0",
    "untag_mask:\t0xffffffffffffffff",
  ];
}
