/**
 * A translation, step by step, as the hardware would go: which entry of which table, what it says, where it leads.
 *
 * It only looks: no ACCESSED or DIRTY bit is set, and no TLB learns anything.
 *
 * Intel SDM vol. 3A, 4.5 to 4.7.  Linux: arch/x86/mm/fault.c dump_pagetable.
 */

import { entryPfn, PageFault, PTE_HIGH_NX, PteBit } from "../../hardware/page-table-entry.ts";
import { entryOffset, isForbidden, pageHigh, pageLow, RIGHT_NX } from "../../hardware/page-walk.ts";
import { frameOf, PAGE_BYTES, type Pfn, physOf } from "../../memory/units.ts";
import { entrySpan } from "../../mm/pgtable/address-range.ts";
import { MmContext } from "../../mm/pgtable/mm-context.ts";
import { PteSoft } from "../../mm/pgtable/pte.ts";
import { isMigration, swapType } from "../../mm/pgtable/swap-entry.ts";
import { contextOf, type MmRef } from "../../process/vm-area.ts";
import type { ProcessSource } from "../pid/source.ts";

const B = PteBit;
const { PROT, WRITE, USER, RSVD, INSTR } = PageFault;
const PAGE_LEAF = 1;
/** Linux's names of the levels; the fourth is folded into the top one when there are four. */
const NAMES = ["", "PTE", "PMD", "PUD", "P4D", "PGD"];

/** One level of a walk. */
export interface WalkStep {
  readonly name: string;
  /** Bits of the address that choose the entry, the highest first. */
  readonly bits: readonly [number, number];
  readonly index: number;
  /** Frame of the table. */
  readonly table: Pfn;
  /** Physical address of the entry. */
  readonly entryAt: number;
  /** Halves of the entry. */
  readonly low: number;
  readonly high: number;
  readonly flags: readonly string[];
  /** "table", "page", or why there is neither. */
  readonly meaning: string;
  /** Frame of the next table or of the page; null at the end of a walk that fails. */
  readonly next: Pfn | null;
}

export interface WalkEnd {
  /** Bytes of the page that the walk ends at. */
  readonly pageBytes: number;
  readonly pfn: Pfn;
  readonly physical: number;
  /** Rights of all levels together, such as "user read write, no execute". */
  readonly rights: string;
}

export interface WalkFault {
  /** Name of the level at which it ends. */
  readonly level: string;
  /** PageFault bits. */
  readonly code: number;
  readonly reason: string;
}

export interface Walk {
  readonly levels: number;
  readonly address: number;
  /** PageFault bits of the access that is asked about: WRITE, USER, INSTR. */
  readonly access: number;
  /** Frame of the top table. */
  readonly root: Pfn;
  readonly steps: readonly WalkStep[];
  /** Where the address is; null when the walk fails before. */
  readonly end: WalkEnd | null;
  /** Null when the access is allowed. */
  readonly fault: WalkFault | null;
}

/** Walks for an access of kind `access` at `address` of an address space, or of the kernel's own (0). */
export function walk(source: ProcessSource, mm: MmRef, address: number, access: number): Walk {
  const { memory, levels } = source.paging.tables;
  const context = mm === 0 ? source.paging.tlb.initMm : contextOf(mm);
  const root = mm === 0 ? source.vmap.tables.rootPfn() : memory.read(context + MmContext.pgd);
  const base = { levels, address, access, root };
  const half = 256 * entrySpan(levels);
  if (address >= half || address < -half)
    return {
      ...base,
      steps: [],
      end: null,
      fault: { level: "address", code: access, reason: NON_CANONICAL },
    };
  const steps: WalkStep[] = [];
  let rights = B.RW | B.USER;
  let table = root;
  for (let level: number = levels; ; level--) {
    const step = stepAt(source, table, level, address);
    steps.push(step);
    const isLeaf = level === PAGE_LEAF || (step.low & B.PSE) !== 0;
    const fails = (code: number, reason: string): Walk => ({
      ...base,
      steps,
      end: null,
      fault: { level: step.name, code, reason },
    });
    if ((step.low & B.PRESENT) === 0) return fails(access, step.meaning);
    if (isLeaf && level > 3) return fails(access | PROT | RSVD, "a reserved bit is set: no page is so large");
    rights =
      (rights & step.low & (B.RW | B.USER)) |
      (rights & RIGHT_NX) |
      ((step.high & PTE_HIGH_NX) === 0 ? 0 : RIGHT_NX);
    table = step.next ?? 0;
    if (!isLeaf) continue;
    const pageBytes = entrySpan(level);
    const offset = address - Math.floor(address / pageBytes) * pageBytes;
    const pfn = table + Math.floor(offset / PAGE_BYTES);
    const end = { pageBytes, pfn, physical: table * PAGE_BYTES + offset, rights: rightsText(rights) };
    const missing = isForbidden(rights, access) ? missingRight(rights, access) : null;
    const fault = missing === null ? null : { level: step.name, code: access | PROT, reason: missing };
    return { ...base, steps, end, fault };
  }
}

const NON_CANONICAL = "the address is not canonical: its upper bits are not all alike";

function stepAt({ paging }: ProcessSource, table: Pfn, level: number, address: number): WalkStep {
  const { memory, levels } = paging.tables;
  const offset = entryOffset(pageLow(address), pageHigh(address), level);
  const at = frameOf(table) + offset;
  const low = memory.load(at);
  const high = memory.read(at + 1);
  const isPresent = (low & B.PRESENT) !== 0;
  const isLeaf = isPresent && (level === PAGE_LEAF || (low & B.PSE) !== 0);
  return {
    name: level === 4 && levels === 4 ? "PGD" : NAMES[level],
    bits: [11 + 9 * level, 3 + 9 * level],
    index: offset / 2,
    table,
    entryAt: physOf(at),
    low,
    high,
    flags: isPresent || level === PAGE_LEAF ? flagNames(low, high, isLeaf) : [],
    meaning: meaningOf(low, high, level, isLeaf),
    next: isPresent ? entryPfn(low, high) : null,
  };
}

function meaningOf(low: number, high: number, level: number, isLeaf: boolean): string {
  if (isLeaf) return level === PAGE_LEAF ? "page" : `page of ${level === 2 ? "2 MiB" : "1 GiB"}`;
  if ((low & B.PRESENT) !== 0) return "table";
  if (low === 0 && high === 0) return level === PAGE_LEAF ? "nothing is there" : "there is no table below";
  if ((low & PteSoft.PROT_NONE) !== 0) return "the page is there, but no access is allowed (PROT_NONE)";
  return isMigration(high) ? "the page is being moved" : `the page is in swap area ${swapType(high)}`;
}

/** Names of the bits that are set, the lowest first. */
function flagNames(low: number, high: number, isLeaf: boolean): string[] {
  const isHere = (low & B.PRESENT) !== 0;
  const names: readonly (readonly [number, string])[] = [
    [B.PRESENT, "P"],
    [B.RW, "RW"],
    [B.USER, "US"],
    [B.PWT, "PWT"],
    [B.PCD, "PCD"],
    [B.ACCESSED, "A"],
    [B.DIRTY, isLeaf || !isHere ? "D" : ""],
    [B.PSE, "PS"],
    [B.GLOBAL, isHere ? (isLeaf ? "G" : "") : "PROTNONE"],
    [PteSoft.SPECIAL, "special"],
    [PteSoft.UFFD_WP, "uffd-wp"],
    [PteSoft.SOFT_DIRTY, "soft-dirty"],
  ];
  const set = names.filter(([bit, name]) => (low & bit) !== 0 && name !== "").map(([, name]) => name);
  return (high & PTE_HIGH_NX) === 0 ? set : [...set, "NX"];
}

function rightsText(rights: number): string {
  const who = (rights & B.USER) === 0 ? "kernel only" : "user";
  const write = (rights & B.RW) === 0 ? "read" : "read write";
  return `${who}, ${write}${(rights & RIGHT_NX) === 0 ? " execute" : ""}`;
}

function missingRight(rights: number, access: number): string {
  if ((access & USER & ~rights) !== 0) return "the page is the kernel's, and a program asks";
  if ((access & WRITE & ~rights) !== 0) return "writing is not allowed";
  return (access & INSTR) === 0 ? "not allowed" : "the page holds no instructions (NX)";
}
