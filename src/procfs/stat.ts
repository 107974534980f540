/**
 * /proc/stat: interrupts, context switches and processes since boot.
 *
 * Linux: fs/proc/stat.c show_stat.  Differs: no line of a CPU's time, which nobody divides into user's and kernel's, no boot
 * time and no softirqs.
 */

import { VECTOR_NAMES } from "../hardware/vectors.ts";
import { RunQueue } from "../process/tasks/task-layout.ts";
import type { ProcessSource } from "./pid/source.ts";
import type { ProcSource } from "./source.ts";

export function stat({ cpu, topology, memory, image }: ProcSource & ProcessSource): string {
  const cpus = Array.from({ length: topology.cpus }, (_, id) => id);
  const sum = (of: (id: number) => number): number => cpus.reduce((total, id) => total + of(id), 0);
  const queue = (id: number): number => image.tasksOfPrograms.queues.of(id);
  const vectors = VECTOR_NAMES.map((_, vector) => sum((id) => cpu.interruptsTaken(vector, id)));
  const rows = [
    ["intr", vectors.reduce((total, count) => total + count, 0), ...vectors],
    ["ctxt", sum((id) => memory.readFloat64(queue(id) + RunQueue.switches))],
    ["processes", sum((id) => memory.readFloat64(queue(id) + RunQueue.forks))],
    ["procs_running", sum((id) => memory.read(queue(id) + RunQueue.running))],
    ["procs_blocked", 0],
  ];
  return rows.map((row) => `${row.join(" ")}\n`).join("");
}
