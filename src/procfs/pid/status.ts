/**
 * /proc/PID/status: what a process is, and its memory.
 *
 * Linux: fs/proc/array.c proc_pid_status; fs/proc/task_mmu.c task_mem.  Differs: identities, signals and capabilities, which do
 * not exist here, have no lines.
 */

import { PAGE_BYTES } from "../../memory/units.ts";
import { MmContext } from "../../mm/pgtable/mm-context.ts";
import { statusKbLine } from "./layout.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";
import { spacePages } from "./statm.ts";

const PAGE_KB = PAGE_BYTES / 1024;

export function status(source: ProcessSource, process: ProcessView): string {
  const lines = [...(process.mm === 0 ? [] : memoryLines(source, process))];
  return lines.map((line) => `${line}\n`).join("");
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
