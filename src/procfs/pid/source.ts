/** What reports on processes read. */

import type { Memory } from "../../memory/memory.ts";
import type { Paging } from "../../mm/shootdown/paging.ts";
import type { Vmalloc } from "../../mm/vmap/vmalloc.ts";
import type { Processes } from "../../process/processes.ts";
import type { TaskSlots } from "../../process/tasks/task-layout.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { RcuReaders } from "../../sync/rcu-readers.ts";
import type { Tasks } from "../../sync/task.ts";
import type { ProcSource } from "../source.ts";

/** The machine's kernel is one. */
export type ProcessSource = Pick<ProcSource, "pages" | "spin" | "topology"> & {
  readonly memory: Memory;
  readonly rcu: RcuReaders;
  readonly masks: CpuMasks;
  /** Names of tasks. */
  readonly tasks: Tasks;
  readonly image: { readonly tasksOfPrograms: TaskSlots };
  readonly processes: Processes;
  readonly paging: Paging;
  readonly vmap: Vmalloc;
};
