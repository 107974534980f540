/** What the checks of address spaces, their tables and TLBs find: each invariant broken once, at rest. */

import { describe, expect, test } from "vitest";
import { entryHigh, entryLow, PteBit } from "../../../src/hardware/page-table-entry.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { PAGE_BYTES, type Pfn, type Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import { AnonPage, FilePage } from "../../../src/mm/pages/page-overlays.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { PageProt } from "../../../src/mm/pgtable/pte.ts";
import { checkTables } from "../../../src/mm/shootdown/check-tables.ts";
import { checkTlbs } from "../../../src/mm/shootdown/check-tlb.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { type FileRef, Inode, OpenFile } from "../../../src/process/file-layout.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { RssMember } from "../../../src/process/rss.ts";
import { contextOf, type MmRef, MmStruct, VmArea } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { endSpaces, makeSpaces } from "../../../src/workloads/parts/user-space.ts";
import { kernelsOf } from "../../support/kernels.ts";

const BASE = 2 ** 40;
const at = (page: number): number => BASE + page * PAGE_BYTES;
/** Pages of the parent: its own, shared with the child, read-only, without rights, of a file. */
const OWN = at(0);
const SHARED = at(1);
const READONLY = at(8);
const NONE = at(12);
const OF_FILE = at(16);
const { RW, PRESENT } = PteBit;
const { PRIVATE, ANONYMOUS, FIXED } = MapFlag;

interface Scene extends Kernel {
  readonly mm: MmRef;
  readonly child: MmRef;
  readonly file: FileRef;
}

function scene(): Scene {
  const [kernel] = kernelsOf({ cpus: 2 }).kernels;
  const { processes, paging } = kernel;
  const { calls, shmem, files } = processes;
  processes.start();
  const mm = processes.spaces.make();
  processes.use(mm);
  const anonymous = {
    prot: Prot.READ | Prot.WRITE,
    flags: PRIVATE | ANONYMOUS | FIXED,
    file: null,
    offset: 0,
  };
  calls.mmap(mm, { address: OWN, bytes: 3 * PAGE_BYTES, ...anonymous });
  for (const address of [READONLY, NONE]) calls.mmap(mm, { address, bytes: PAGE_BYTES, ...anonymous });
  for (const address of [OWN, SHARED, READONLY, NONE]) paging.user.write(address, 1);
  calls.mprotect(mm, READONLY, PAGE_BYTES, Prot.READ);
  calls.mprotect(mm, NONE, PAGE_BYTES, 0);
  const file = shmem.create();
  shmem.truncate(file, 2 * PAGE_BYTES);
  const mapped = { ...anonymous, flags: MapFlag.SHARED | FIXED, file: files.describe(file) };
  calls.mmap(mm, { address: OF_FILE, bytes: 2 * PAGE_BYTES, ...mapped });
  paging.user.write(OF_FILE, 1);
  const child = calls.fork(mm);
  paging.user.write(OWN, 2);
  expect(check(kernel)).toBe(2);
  return Object.assign(Object.create(kernel), { mm, child, file }) as Scene;
}

/** As the machine's own check does it; how many address spaces there are. */
function check(kernel: Kernel): number {
  checkTables(kernel.paging.tables, kernel.pages.frames.nodeCount);
  checkTlbs(kernel.paging, kernel.cpu.tlb, kernel.masks);
  return checkSpaces(kernel);
}

function entryOf({ paging, mm }: Scene, address: number): Pointer {
  const { tables } = paging;
  const entry = tables.pteOffsetMapLock(tables.pmdOffset(contextOf(mm), address), address);
  tables.pteUnlock(entry);
  return entry;
}
function frameAt(s: Scene, address: number): Pfn {
  const { pte } = s.paging.tables;
  return pte.pfnOf(pte.get(entryOf(s, address)));
}
const pageAt = (s: Scene, address: number): Pointer => s.pages.frames.pageOf(frameAt(s, address));
const areaAt = (s: Scene, address: number): Pointer => s.processes.vmas.lookup(s.mm, address);
const add = ({ memory }: Scene, where: Pointer, by: number): void =>
  memory.write(where, memory.read(where) + by);
const addFloat = ({ memory }: Scene, where: Pointer, by: number): void =>
  memory.writeFloat64(where, memory.readFloat64(where) + by);
/** An entry for another frame, with the same rights. */
const point = (s: Scene, address: number, pfn: Pfn): void =>
  s.paging.tables.pte.set(entryOf(s, address), entryLow(pfn, PageProt.WRITE), entryHigh(pfn, 0));
const forget = (s: Scene): void => s.paging.shootdown.flushMm(contextOf(s.mm));

test.each<[string, RegExp, (s: Scene) => void]>([
  [
    "an entry for a frame that is free",
    /^table of level 1 .* maps frame \d+, which is free/,
    (s) => {
      const pfn = s.pages.allocPage(Gfp.KERNEL);
      s.pages.freePage(pfn);
      point(s, OWN, pfn);
    },
  ],
  [
    "an entry for a frame that is somebody else's",
    /^X2 frame \d+ is mapped, and neither anonymous nor in a file|^P2 .* which is not page/,
    (s) => {
      point(s, OWN, s.pages.allocPage(Gfp.KERNEL));
      forget(s);
    },
  ],
  [
    "more table bytes than tables",
    /pgtables_bytes \d+, its tables are \d+/,
    (s) => add(s, contextOf(s.mm) + MmContext.tableBytes, PAGE_BYTES),
  ],
  [
    "a gather that has not finished",
    /tlb_flush_pending 1 at rest/,
    (s) => add(s, contextOf(s.mm) + MmContext.tlbFlushPending, 1),
  ],
  [
    "a TLB entry for a page that is not mapped any more",
    /^cpu 0: stale TLB entry for page .* frame \d+, nothing is mapped/,
    (s) => {
      s.paging.user.read(OWN);
      s.paging.tables.pte.take(entryOf(s, OWN));
    },
  ],
  [
    "a TLB entry with rights that were taken away",
    /^cpu 0: stale TLB entry for page .*: rights 0x\w+, the tables give 0x\w+/,
    (s) => {
      s.paging.user.write(OWN, 1);
      s.paging.tables.pte.change(entryOf(s, OWN), RW, 0);
    },
  ],
  [
    "a TLB entry for another frame",
    /^cpu 0: stale TLB entry for page .*: frame \d+, mapped is \d+/,
    (s) => {
      s.paging.user.read(OWN);
      point(s, OWN, frameAt(s, SHARED));
    },
  ],
  [
    "a generation from the future",
    /^cpu 0: .*generation/,
    (s) => add(s, contextOf(s.mm) + MmContext.tlbGen, -1),
  ],
  [
    "pages that no VMA has",
    /^P1 mm at word \d+: totalVm is \d+, its VMAs have \d+ pages/,
    (s) => addFloat(s, s.mm + MmStruct.totalVm, 1),
  ],
  [
    "a VMA that overlaps the next",
    /^M1 VMA at word \d+: it is \d+ to \d+, the tree has/,
    (s) => addFloat(s, areaAt(s, OWN) + VmArea.end, 6 * PAGE_BYTES),
  ],
  ["a VMA too many", /^M2 mm at word \d+: \d+ VMAs, it says \d+/, (s) => add(s, s.mm + MmStruct.mapCount, 1)],
  [
    "a VMA of another mm",
    /^M1 VMA at word \d+: of another mm/,
    (s) => s.memory.write(areaAt(s, OWN) + VmArea.mm, s.child),
  ],
  [
    "a page outside of all VMAs",
    /^P2 mm at word \d+: the entry for 0x\w+ lies in no VMA/,
    (s) => {
      const [from, to] = [entryOf(s, OWN), entryOf(s, at(4))];
      s.memory.write(to + 1, s.memory.read(from + 1));
      s.memory.write(to, s.memory.read(from));
    },
  ],
  [
    "a writable page of a VMA that is not",
    /^P2 .* is writable, its VMA is not/,
    (s) => s.paging.tables.pte.change(entryOf(s, READONLY), 0, RW),
  ],
  [
    "a page that may be read in a VMA without rights",
    /^P2 .* allows access, its VMA does not/,
    (s) => s.paging.tables.pte.change(entryOf(s, NONE), 0, PRESENT),
  ],
  [
    "anonymous pages that are counted and not there",
    /^P3 mm at word \d+: \d+ anonymous pages are mapped, it counts \d+/,
    (s) => s.processes.rss.add(s.mm, RssMember.ANON, 1),
  ],
  [
    "pages of files that are counted and not there",
    /^P3 mm at word \d+: 1 pages of memory files are mapped, it counts 2/,
    (s) => s.processes.rss.add(s.mm, RssMember.SHMEM, 1),
  ],
  [
    "swapped pages where there is no swap",
    /^P3 mm at word \d+: 0 swapped pages are mapped, it counts 1/,
    (s) => s.processes.rss.add(s.mm, RssMember.SWAP, 1),
  ],
  [
    "a page that was unmapped and is counted",
    /^P4 frame \d+: mapcount 3, tables map it 2 times/,
    (s) => add(s, pageAt(s, SHARED) + Page.mapcount, 1),
  ],
  [
    "a reference that nobody has",
    /^P4 frame \d+: 2 references, tables map it 1 times/,
    (s) => s.pages.getPage(frameAt(s, OWN)),
  ],
  [
    "a reference of a cached page that nobody has",
    /^P4 page 0 of a file, frame \d+: \d references/,
    (s) => s.pages.getPage(frameAt(s, OF_FILE)),
  ],
  [
    "a shared page that counts as exclusive",
    /^P5 frame \d+ is exclusive and mapped 2 times/,
    (s) => s.memory.write(pageAt(s, SHARED) + AnonPage.private, 1),
  ],
  [
    "pages that were committed and not given back",
    /^P6 \d+ pages are committed, VMAs account for \d+/,
    (s) => s.processes.accounting.commit(s.mm, 1),
  ],
  [
    "a page of a file at the wrong place",
    /^P2 .* maps frame \d+, which is not page 0 of its VMA's file/,
    (s) => addFloat(s, pageAt(s, OF_FILE) + FilePage.index, 1),
  ],
  [
    "pages of a file that are miscounted",
    /^X2 inode at word \d+: 1 pages are cached, it says 2/,
    (s) => add(s, s.processes.files.inodeOf(s.file) + Inode.cachedPages, 1),
  ],
  [
    "a file with fewer references than VMAs",
    /^F2 file at word \d+: 2 VMAs name it, it has 1 references/,
    (s) => s.memory.write(s.file + OpenFile.refcount, 1),
  ],
])("%s", (_name, message, corrupt) => {
  const s = scene();
  corrupt(s);
  expect(() => check(s)).toThrow(message);
});

describe("the end of a run", () => {
  test.each<[string, RegExp, (kernel: Kernel, mm: MmRef) => void]>([
    [
      "a page that did not come back",
      /^\d+ pages are free or slabs after the run, \d+ were before it/,
      ({ pages }) => pages.allocPage(Gfp.KERNEL),
    ],
    [
      "a mapping that was left",
      /^\d+ pages are free or slabs after the run, \d+ were before it/,
      ({ processes, paging }, mm) => {
        const flags = PRIVATE | ANONYMOUS | FIXED;
        const request = { bytes: PAGE_BYTES, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
        processes.calls.mmap(mm, { address: BASE, ...request });
        processes.use(mm);
        paging.user.write(BASE, 1);
        processes.use(0);
      },
    ],
  ])("%s", (_name, message, leave) => {
    const [kernel] = kernelsOf({ cpus: 1 }).kernels;
    const spaces = makeSpaces(kernel, {});
    leave(kernel, spaces.mms[0]);
    expect(() => endSpaces(kernel, spaces)).toThrow(message);
  });
});
