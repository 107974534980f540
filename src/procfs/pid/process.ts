/**
 * The processes that reports can name, and holding on to one while it is read.
 *
 * An address space that belongs to no task, because a kernel module has made it, goes by its number (`ctxId`).
 *
 * Linux: fs/proc/base.c proc_mem_open; kernel/fork.c get_task_mm.
 */

import type { Pointer } from "../../memory/units.ts";
import { MmContext, PgtableGlobals } from "../../mm/pgtable/mm-context.ts";
import type { MmRef } from "../../process/vm-area.ts";
import type { ProcessSource } from "./source.ts";

/** A process as reports know it. */
export interface ProcessView {
  readonly pid: number;
  /** 0: it has none. */
  readonly mm: MmRef;
}

/** Every process, by pid. */
export function processesOf(source: ProcessSource): ProcessView[] {
  const found: ProcessView[] = [];
  eachSpace(source, (mm) => {
    found.push({ pid: numberOf(source, mm), mm });
    return false;
  });
  return found.toSorted((a, b) => a.pid - b.pid);
}

/** Calls `read` with the process, whose address space stays until it returns; null without such a process. */
export function withProcess<T>(
  source: ProcessSource,
  pid: number | "self",
  read: (process: ProcessView) => T,
): T | null {
  const { processes } = source;
  const own = pid === "self" ? processes.current : 0;
  let mm: MmRef = own;
  if (own !== 0) processes.spaces.get(own);
  else
    eachSpace(source, (at) => {
      const isIt = numberOf(source, at) === pid && processes.spaces.getNotZero(at);
      if (isIt) mm = at;
      return isIt;
    });
  if (mm === 0) return null;
  const result = read({ pid: pid === "self" ? numberOf(source, mm) : pid, mm });
  processes.spaces.put(mm);
  return result;
}

const numberOf = ({ paging }: ProcessSource, mm: Pointer): number =>
  paging.tables.memory.read(mm + MmContext.ctxId);

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
