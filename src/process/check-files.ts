/**
 * Files at rest: F1 and F2 of files.ts, X1 and X2 of page-cache.ts, and
 *   X3  where a file's type keeps pages: nr_dirty == its dirty pages, and an entry that allows writing maps a dirty one
 *
 * A page of a file has one reference for the cache and one for each entry that maps it; nobody has another at rest.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import type { Pfn } from "../memory/units.ts";
import { NodeStat } from "../mm/pages/counters.ts";
import { Page, PageType } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { FilePage } from "../mm/pages/page-overlays.ts";
import { pageIndex } from "./anon-pages.ts";
import { Inode, OpenFile } from "./file-layout.ts";
import type { Processes } from "./processes.ts";
import { VmArea, type VmaRef } from "./vm-area.ts";

const inode = Inode;

export interface FilesView {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly processes: Processes;
}

/** All inodes against all VMAs and the entries that map each frame; pages that files have committed. */
export function checkFiles(view: FilesView, areas: readonly VmaRef[], mapped: Map<Pfn, number>): number {
  const { memory, processes } = view;
  const { files, cache } = processes;
  const cached = new Set<Pfn>();
  const collected = processes.mlocks.collected();
  const linked = new Set<VmaRef>();
  let committed = 0;
  for (const at of files.inodes()) {
    const pages = cache.check(at);
    for (const [index, pfn] of pages) {
      if (cached.has(pfn)) bug(`X2 frame ${pfn} is cached twice`);
      cached.add(pfn);
      checkCached(view, pfn, index, { count: mapped.get(pfn) ?? 0, collected: collected.get(pfn) ?? 0 });
    }
    for (const area of files.checkMappings(at)) {
      if (files.mappedBy(area) !== at) bug(`F1 VMA at word ${area} is in i_mmap of another file`);
      linked.add(area);
    }
    const isNoReserve = memory.read(at + inode.isNoReserve) !== 0;
    committed += isNoReserve ? pages.size : memory.readFloat64(at + inode.committed);
  }
  checkDirty(view, cached);
  checkAreas(view, areas, linked);
  for (const pfn of mapped.keys()) {
    if (processes.anonPages.isAnon(pfn) || cached.has(pfn)) continue;
    bug(`X2 frame ${pfn} is mapped, and neither anonymous nor in a file`);
  }
  return committed;
}

/** An entry for a page of a file is where that page belongs. */
export function checkFileEntry(
  { memory, pages, processes }: FilesView,
  entry: {
    readonly pfn: Pfn;
    readonly area: VmaRef;
    readonly address: number;
    readonly where: string;
    readonly isWritable: boolean;
  },
): void {
  const page = pages.frames.pageOf(entry.pfn);
  const index = pageIndex(memory, entry.area, entry.address);
  const isRight =
    memory.load(page + FilePage.mapping) === processes.files.mappedBy(entry.area) &&
    (memory.read(page + Page.type) & 0xff) === PageType.FILE &&
    memory.readFloat64(page + FilePage.index) === index;
  if (entry.isWritable && processes.writes.wantsNotice(entry.area) && !processes.filePages.isDirty(entry.pfn))
    bug(`X3 ${entry.where} allows writing, and frame ${entry.pfn} counts as clean`);
  if (!isRight) bug(`${entry.where} maps frame ${entry.pfn}, which is not page ${index} of its VMA's file`);
}

/** `count` entries map it, and batches of pages to be locked have `collected` references. */
function checkCached(
  { memory, pages }: FilesView,
  pfn: Pfn,
  index: number,
  { count, collected }: { count: number; collected: number },
): void {
  const page = pages.frames.pageOf(pfn);
  const where = `page ${index} of a file, frame ${pfn}`;
  const mapcount = memory.read(page + Page.mapcount) + 1;
  const references = memory.read(page + Page.refcount);
  if ((memory.read(page + Page.type) & 0xff) !== PageType.FILE) bug(`X2 ${where}: not of type FILE`);
  if ((memory.read(page + Page.flags) & PageFlag.LOCKED) !== 0) bug(`X2 ${where}: locked at rest`);
  if (mapcount !== count) bug(`P4 ${where}: mapcount ${mapcount}, tables map it ${count} times`);
  if (references !== count + 1 + collected)
    bug(`P4 ${where}: ${references} references, ${count} entries and the cache`);
}

function checkDirty({ memory, pages, processes }: FilesView, cached: Set<Pfn>): void {
  const { files, filePages } = processes;
  const inodeOf = (pfn: Pfn): number => memory.load(pages.frames.pageOf(pfn) + FilePage.mapping);
  const dirty = [...cached].filter(
    (pfn) => filePages.isDirty(pfn) && files.typeOf(inodeOf(pfn)).writePage !== undefined,
  ).length;
  let said = 0;
  for (let node = 0; node < pages.frames.nodeCount; node++)
    said += pages.vmstat.nodeStateSnapshot(pages.frames.nodeAt(node), NodeStat.nr_dirty);
  if (said !== dirty) bug(`X3 ${dirty} pages are dirty, nr_dirty is ${said}`);
}

function checkAreas({ memory }: FilesView, areas: readonly VmaRef[], linked: Set<VmaRef>): void {
  const uses = new Map<number, number>();
  for (const area of areas) {
    const file = memory.read(area + VmArea.file);
    if ((file !== 0) !== linked.has(area)) bug(`F1 VMA at word ${area}: has a file, and is not in i_mmap`);
    if (file !== 0) uses.set(file, (uses.get(file) ?? 0) + 1);
  }
  for (const [file, count] of uses) {
    const said = memory.read(file + OpenFile.refcount);
    if (said < count) bug(`F2 file at word ${file}: ${count} VMAs name it, it has ${said} references`);
  }
  const known = new Set(areas);
  for (const area of linked)
    if (!known.has(area)) bug(`F1 VMA at word ${area} is in i_mmap, and in no address space`);
}
