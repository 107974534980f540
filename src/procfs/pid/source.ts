/** What reports on processes read. */

import type { Paging } from "../../mm/shootdown/paging.ts";
import type { Vmalloc } from "../../mm/vmap/vmalloc.ts";
import type { Processes } from "../../process/processes.ts";
import type { ProcSource } from "../source.ts";

/** The machine's kernel is one. */
export type ProcessSource = Pick<ProcSource, "pages" | "spin" | "topology"> & {
  readonly processes: Processes;
  readonly paging: Paging;
  readonly vmap: Vmalloc;
};
