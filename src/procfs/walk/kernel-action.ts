/**
 * What the kernel would do about a fault that a walk has found, in words.
 *
 * Linux: arch/x86/mm/fault.c do_user_addr_fault, access_error; mm/memory.c handle_pte_fault and what it calls.
 */

import { entryPfn, PageFault } from "../../hardware/page-table-entry.ts";
import { isPresent, PteSoft } from "../../mm/pgtable/pte.ts";
import { type MmRef, VmArea, type VmaRef } from "../../process/vm-area.ts";
import { VM_ACCESS, VmFlag } from "../../process/vm-flags.ts";
import type { ProcessSource } from "../pid/source.ts";
import type { Walk } from "./walk.ts";

const { WRITE, USER, INSTR } = PageFault;
const f = VmFlag;

export function kernelAction(source: ProcessSource, mm: MmRef, found: Walk): string {
  const { address, access } = found;
  if (address < 0 || found.steps.length === 0)
    return (access & USER) === 0
      ? "a fault of the kernel at its own address: an oops"
      : "the program gets SIGSEGV: kernel addresses are not its own";
  const { vmas } = source.processes;
  vmas.locks.readLock(mm);
  const area = vmas.lookup(mm, address);
  const action = area === 0 ? withoutArea(source, mm, address) : inArea(source, area, found);
  vmas.locks.readUnlock(mm);
  return action;
}

function withoutArea({ processes }: ProcessSource, mm: MmRef, address: number): string {
  const above = processes.vmas.find(mm, address);
  if (above !== 0 && (processes.vmas.flagsOf(above) & f.GROWSDOWN) !== 0)
    return "no mapping is there, but the next one above is a stack: it grows down to here, if its limit allows";
  return "the program gets SIGSEGV (MAPERR): no mapping is there";
}

function inArea(source: ProcessSource, area: VmaRef, found: Walk): string {
  const { vmas, anonPages } = source.processes;
  const flags = vmas.flagsOf(area);
  const { access } = found;
  const isWrite = (access & WRITE) !== 0;
  if (!allows(flags, access)) return "the program gets SIGSEGV (ACCERR): the mapping does not allow it";
  const leaf = found.steps.at(-1);
  const isFile = vmas.memory.read(area + VmArea.file) !== 0;
  const isShared = (flags & f.SHARED) !== 0;
  if (leaf === undefined || !isPresent(leaf.low)) {
    if (!isFile)
      return isWrite
        ? "demand zero: a new page of zeros is mapped, writable"
        : "demand zero: the page of zeros is mapped, read-only, until somebody writes";
    const page = "the file's page is looked up in the page cache, or made";
    return isWrite && !isShared ? `${page}, and copied: the copy is mapped` : `${page}, and mapped`;
  }
  if ((leaf.low & PteSoft.SPECIAL) !== 0)
    return "the first write: a page of zeros of its own replaces the common one";
  if (isShared) return "a write to a shared page: the file is told, and the entry is made writable";
  const pfn = entryPfn(leaf.low, leaf.high);
  if (!anonPages.isAnon(pfn)) return "copy on write: a private copy of the file's page is made and mapped";
  return anonPages.isExclusive(pfn) || anonPages.mapcountOf(pfn) === 1
    ? "the page is nobody else's: the entry is made writable again, no copy"
    : `copy on write: ${anonPages.mapcountOf(pfn)} entries share the page, so this one gets a copy of its own`;
}

/** Linux: access_error, with its sense turned round. */
function allows(flags: number, access: number): boolean {
  if ((access & INSTR) !== 0) return (flags & f.EXEC) !== 0;
  if ((access & WRITE) !== 0) return (flags & f.WRITE) !== 0;
  return (flags & VM_ACCESS) !== 0;
}
