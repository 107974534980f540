/**
 * What `smpsim walk` answers: the walk, the mapping around the address, the frame, what the kernel would do about a fault; and
 * on request an access, and the walk and the TLB after it.
 */

import { PageFault } from "../../hardware/page-table-entry.ts";
import { pageHigh, pageLow } from "../../hardware/page-walk.ts";
import { UsageError } from "../../memory/bug.ts";
import type { Pfn } from "../../memory/units.ts";
import { Page, PageType } from "../../mm/pages/page.ts";
import { formatPageFlags } from "../../mm/pages/page-flags.ts";
import { PteSoft } from "../../mm/pgtable/pte.ts";
import { UserFault } from "../../mm/shootdown/user-access.ts";
import { UserSignal } from "../../process/user-signal.ts";
import type { MmRef } from "../../process/vm-area.ts";
import { Task } from "../../sync/task.ts";
import { areaLine } from "../pid/maps.ts";
import { processesOf, withProcess } from "../pid/process.ts";
import type { ProcessSource } from "../pid/source.ts";
import type { ProcSource } from "../source.ts";
import { kernelAction } from "./kernel-action.ts";
import { type Walk, walk } from "./walk.ts";

export interface WalkRequest {
  /** A kernel address is negative: its 64 bits as a signed number. */
  readonly address: number;
  /** Null: the first process, or the kernel's own tables if there is none. */
  readonly pid: number | null;
  /** PageFault bits: WRITE, USER, INSTR. */
  readonly access: number;
  /** Makes the access, too. */
  readonly touches: boolean;
}

/** What the struct page of a frame says. */
export interface FrameNote {
  readonly pfn: Pfn;
  readonly kind: string;
  readonly node: number;
  readonly references: number;
  /** Page-table entries that map it. */
  readonly mapped: number;
  readonly flags: string;
}

/** An entry of this CPU's TLB, or of its page-walk cache. */
export interface TlbNote {
  readonly cpu: number;
  readonly pcid: number;
  readonly text: string;
}

export interface WalkAnswer {
  /** Null: the kernel's own tables. */
  readonly pid: number | null;
  /** The line of maps, or null. */
  readonly area: string | null;
  readonly walk: Walk;
  readonly frame: FrameNote | null;
  /** What the kernel does about the fault; null without one. */
  readonly action: string | null;
  /** With `touches`: how the access ended, and what it left. */
  readonly touched: {
    readonly outcome: string;
    readonly faults: number;
    readonly walk: Walk;
    readonly frame: FrameNote | null;
    readonly tlb: readonly TlbNote[];
  } | null;
}

type WalkSource = ProcessSource & Pick<ProcSource, "cpu">;

/** Throws UsageError for a process that is not there. */
export function answerWalk(source: WalkSource, request: WalkRequest): WalkAnswer {
  const all = processesOf(source).filter(({ mm }) => mm !== 0);
  const pid = request.pid ?? all.at(0)?.pid ?? null;
  if (pid === null) return inSpace(source, request, null, 0);
  const answer = withProcess(source, pid, (process) => inSpace(source, request, pid, process.mm));
  if (answer !== null) return answer;
  const known = all.map((process) => process.pid).join(", ");
  throw new UsageError(
    `there is no process ${pid}; ${known === "" ? "there is none now" : `valid are ${known}`}`,
  );
}

function inSpace(source: WalkSource, request: WalkRequest, pid: number | null, mm: MmRef): WalkAnswer {
  const { address, access, touches } = request;
  if (mm === 0 && source.vmap.tables.rootPfn() === 0)
    throw new UsageError("there are no page tables yet; run a workload first (--after)");
  if (mm === 0 && (touches || address >= 0))
    throw new UsageError("there is no process; run one first (--after)");
  const before = walk(source, mm, address, access);
  return {
    pid,
    area: areaOf(source, mm, address),
    walk: before,
    frame: frameOf(source, before),
    action: before.fault === null ? null : kernelAction(source, mm, before),
    touched: touches ? touch(source, mm, request) : null,
  };
}

function areaOf(source: WalkSource, mm: MmRef, address: number): string | null {
  if (mm === 0 || address < 0) return null;
  const { vmas } = source.processes;
  vmas.locks.readLock(mm);
  const area = vmas.lookup(mm, address);
  const line = area === 0 ? null : areaLine(source, mm, area, vmas.startOf(area));
  vmas.locks.readUnlock(mm);
  return line;
}

const KINDS: Readonly<Record<number, string>> = {
  [PageType.NONE]: "of a larger block",
  [PageType.ALLOCATED]: "allocated",
  [PageType.RESERVED]: "reserved at boot",
  [PageType.TAIL]: "of a compound block",
  [PageType.SLAB]: "a slab",
  [PageType.PAGE_TABLE]: "a page table",
  [PageType.ANON]: "anonymous memory",
  [PageType.FILE]: "a page of a file",
  [PageType.VMALLOC]: "vmalloc memory",
  [PageType.PERCPU]: "per-CPU memory",
  [PageType.LARGE_KMALLOC]: "kmalloc memory",
  [PageType.PCP]: "free, on a CPU's page list",
};

function frameOf({ pages }: WalkSource, { end, steps }: Walk): FrameNote | null {
  if (end === null) return null;
  const { frames } = pages;
  const { memory } = frames;
  const page = frames.pageOf(end.pfn);
  const isZeroPage = ((steps.at(-1)?.low ?? 0) & PteSoft.SPECIAL) !== 0;
  const isFree = memory.read(page + Page.buddy) !== 0;
  const type = memory.read(page + Page.type) & 0xff;
  return {
    pfn: end.pfn,
    kind: isZeroPage ? "the page of zeros, which all share" : isFree ? "free" : (KINDS[type] ?? "unknown"),
    node: frames.nodeOf(page),
    references: memory.load(page + Page.refcount),
    mapped: memory.load(page + Page.mapcount) + 1,
    flags: formatPageFlags(memory.load(page + Page.flags)),
  };
}

/** This CPU does the access in the process's address space, with everything that may come of it. */
function touch(source: WalkSource, mm: MmRef, { address, access }: WalkRequest): WalkAnswer["touched"] {
  const { processes, paging, cpu } = source;
  const faultsOf = (): number => cpu.memory.read(cpu.current + Task.minFlt);
  const before = faultsOf();
  const own = processes.current;
  processes.use(mm);
  let outcome = "done";
  try {
    paging.user.wordAt(Math.floor(address / 4) * 4, access);
  } catch (error) {
    if (!(error instanceof UserSignal || error instanceof UserFault)) throw error;
    outcome = error.message;
  }
  const after = walk(source, mm, address, access);
  const tlb = tlbNotes(source, address);
  processes.use(own);
  return { outcome, faults: faultsOf() - before, walk: after, frame: frameOf(source, after), tlb };
}

/** What this CPU remembers of the address while its address space is loaded. */
function tlbNotes({ cpu }: WalkSource, address: number): TlbNote[] {
  const { tlb } = cpu;
  const [low, high] = [pageLow(address), pageHigh(address)];
  const isAround = (level: number, pageLowBits: number, upper: number): boolean =>
    upper === high && low - (low % 512 ** (level - 1)) === pageLowBits;
  const own = tlb
    .entries()
    .filter((entry) => isAround(entry.level, entry.pageLow, entry.pageHigh))
    .filter(({ isGlobal, pcid }) => isGlobal || pcid === tlb.pcid)
    .map(({ pcid, pfn, level, isGlobal, rights }) => {
      const page = ["4 KiB", "2 MiB", "1 GiB"][level - 1];
      const dirty = (rights & 0x40) === 0 ? "" : ", dirty";
      const write = (rights & PageFault.WRITE) === 0 ? "read" : "read write";
      const text = `TLB: ${page} page at frame 0x${pfn.toString(16)}, ${write}${dirty}${isGlobal ? ", global" : ""}`;
      return { cpu: cpu.id, pcid, text };
    });
  const tables = tlb.tables
    .entries()
    .filter((entry) => entry.pcid === tlb.pcid && isAround(2, entry.pageLow, entry.pageHigh))
    .map(({ pcid, table }) => {
      const text = `page-walk cache: the page table of these 2 MiB is frame 0x${table.toString(16)}`;
      return { cpu: cpu.id, pcid, text };
    });
  // Both levels of the TLB know it: once is enough.
  const seen = new Set<string>();
  return [...own, ...tables].filter(({ text }) => !seen.has(text) && seen.add(text));
}
