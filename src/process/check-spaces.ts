/**
 * Address spaces at rest, all together.
 *
 *   P1  VMAs as vmas.ts says (M1 to M3); totalVm, lockedVm, dataVm, execVm and stackVm are the sums over them
 *   P2  every present entry lies in a VMA, and allows no more than that
 *   P3  resident pages counted, by kind == entries that map anonymous pages, and pages of files
 *   P4  an anonymous page is mapped as often as all tables together say, and has a reference for each
 *   P5  an exclusive page is mapped once
 *   P6  committed pages == pages of VMAs that are accounted, and of files
 *       (P4: and one for each batch of pages to be locked that it is in; L1 and L2 of mlock-pages.ts)
 *   P7  an entry for a page of a file lies where that page belongs; files as check-files.ts says
 */

import { PteBit } from "../hardware/page-table-entry.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES, type Pfn } from "../memory/units.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { isPresent, PteSoft } from "../mm/pgtable/pte.ts";
import { contextsOf } from "../mm/shootdown/check-tables.ts";
import type { Paging } from "../mm/shootdown/paging.ts";
import { checkFileEntry, checkFiles } from "./check-files.ts";
import type { Processes } from "./processes.ts";
import { RssMember } from "./rss.ts";
import { contextOf, type MmRef, MmStruct, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";

const mm = MmStruct;
const f = VmFlag;

export interface SpacesView {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly paging: Paging;
  readonly processes: Processes;
}

/** P1 to P6; how many address spaces there are. */
export function checkSpaces(view: SpacesView): number {
  const { processes } = view;
  const mapped = new Map<Pfn, number>();
  const locked = new Set<Pfn>();
  const spaces = contextsOf(view.paging.tables).filter((at) => processes.spaces.isMm(at));
  const all: VmaRef[] = [];
  let accounted = 0;
  for (const at of spaces) {
    const areas = processes.vmas.check(at);
    all.push(...areas);
    checkSums(view, at, areas);
    checkEntries(view, at, areas, mapped, locked);
    accounted += pagesWith(view, areas, (flags) => (flags & f.ACCOUNT) !== 0);
  }
  const collected = processes.mlocks.collected();
  for (const [pfn, count] of mapped)
    if (processes.anonPages.isAnon(pfn)) checkPage(view, pfn, count, collected.get(pfn) ?? 0);
  processes.mlocks.check(locked);
  accounted += checkFiles(view, all, mapped);
  if (spaces.length > 0 && processes.accounting.committedPages !== accounted)
    bug(`P6 ${processes.accounting.committedPages} pages are committed, VMAs account for ${accounted}`);
  return spaces.length;
}

function pagesWith(
  { processes }: SpacesView,
  areas: readonly VmaRef[],
  has: (flags: number) => boolean,
): number {
  const { vmas } = processes;
  return areas.reduce((sum, area) => sum + (has(vmas.flagsOf(area)) ? vmas.pagesOf(area) : 0), 0);
}

function checkSums(view: SpacesView, at: MmRef, areas: readonly VmaRef[]): void {
  const expected: readonly (readonly [string, number, (flags: number) => boolean])[] = [
    ["totalVm", mm.totalVm, () => true],
    ["lockedVm", mm.lockedVm, (flags) => (flags & f.LOCKED) !== 0],
    ["execVm", mm.execVm, (flags) => (flags & (f.EXEC | f.WRITE | f.GROWSDOWN)) === f.EXEC],
    ["stackVm", mm.stackVm, (flags) => (flags & f.GROWSDOWN) !== 0],
    ["dataVm", mm.dataVm, (flags) => (flags & (f.WRITE | f.SHARED | f.GROWSDOWN)) === f.WRITE],
  ];
  for (const [name, field, has] of expected) {
    const pages = pagesWith(view, areas, has);
    const said = view.memory.readFloat64(at + field);
    if (said !== pages) bug(`P1 mm at word ${at}: ${name} is ${said}, its VMAs have ${pages} pages`);
  }
}

function checkEntries(
  view: SpacesView,
  at: MmRef,
  areas: readonly VmaRef[],
  mapped: Map<Pfn, number>,
  locked: Set<Pfn>,
): void {
  const { paging, processes } = view;
  const { pte } = paging.tables;
  const end = view.memory.readFloat64(at + mm.taskSize);
  const resident = { anon: 0, shmem: 0 };
  paging.ranges.eachPmd(contextOf(at), 0, end, (pmd, first, last) => {
    const table = paging.tables.pteOffsetMapLock(pmd, first);
    for (let entry = table, address = first; address < last; entry = pte.next(entry), address += PAGE_BYTES) {
      const low = pte.get(entry);
      if (!isPresent(low)) continue;
      const where = `P2 mm at word ${at}: the entry for 0x${address.toString(16)}`;
      const area = areas.find(
        (a) => processes.vmas.startOf(a) <= address && address < processes.vmas.endOf(a),
      );
      if (area === undefined) bug(`${where} lies in no VMA`);
      const flags = processes.vmas.flagsOf(area);
      if ((low & PteBit.RW) !== 0 && (flags & f.WRITE) === 0) bug(`${where} is writable, its VMA is not`);
      if ((low & PteBit.PRESENT) !== 0 && (flags & (f.READ | f.WRITE | f.EXEC)) === 0)
        bug(`${where} allows access, its VMA does not`);
      if ((low & PteSoft.SPECIAL) !== 0) continue;
      const pfn = pte.pfnOf(low);
      mapped.set(pfn, (mapped.get(pfn) ?? 0) + 1);
      if ((flags & f.LOCKED) !== 0) locked.add(pfn);
      if (processes.anonPages.isAnon(pfn)) resident.anon++;
      else {
        resident.shmem++;
        checkFileEntry(view, { pfn, area, address, where, isWritable: (low & PteBit.RW) !== 0 });
      }
    }
    paging.tables.pteUnlock(table);
  });
  const kinds = [
    ["anonymous pages", resident.anon, RssMember.ANON],
    ["pages of memory files", resident.shmem, RssMember.SHMEM],
    ["pages of other files", 0, RssMember.FILE],
    ["swapped pages", 0, RssMember.SWAP],
  ] as const;
  for (const [name, count, member] of kinds) {
    const said = processes.rss.read(at, member);
    if (said !== count) bug(`P3 mm at word ${at}: ${count} ${name} are mapped, it counts ${said}`);
  }
}

function checkPage(
  { memory, pages, processes }: SpacesView,
  pfn: Pfn,
  count: number,
  collected: number,
): void {
  const page = pages.frames.pageOf(pfn);
  const mapcount = memory.read(page + Page.mapcount) + 1;
  const references = memory.read(page + Page.refcount);
  if (mapcount !== count) bug(`P4 frame ${pfn}: mapcount ${mapcount}, tables map it ${count} times`);
  if (references !== count + collected)
    bug(`P4 frame ${pfn}: ${references} references, tables map it ${count} times`);
  if (processes.anonPages.isExclusive(pfn) && count !== 1)
    bug(`P5 frame ${pfn} is exclusive and mapped ${count} times`);
}
