/** Processes, a line each, as `ps` would list them: memory in kB. */

import { MmStruct } from "../../process/vm-area.ts";
import { processesOf } from "./process.ts";
import type { ProcessSource } from "./source.ts";
import { spacePages } from "./statm.ts";

const PAGE_KB = 4;
const WIDTHS = [5, 6, 9, 9];

export function ps(source: ProcessSource): string {
  const { memory } = source.processes.vmas;
  const rows = processesOf(source).map((process) => {
    const { size, anon, file, shmem } = spacePages(source, process);
    const users = memory.load(process.mm + MmStruct.users);
    return [process.pid, users, size * PAGE_KB, (anon + file + shmem) * PAGE_KB];
  });
  return [["PID", "USERS", "VSZ", "RSS"], ...rows]
    .map((row) => `${row.map((cell, i) => String(cell).padStart(WIDTHS[i])).join(" ")}\n`)
    .join("");
}
