/** The page walk, the TLB and what joins them, over tables that the test writes. */

import { describe, expect, test } from "vitest";
import { faultCode, Mmu } from "../../../src/hardware/mmu.ts";
import {
  describeFault,
  entryHigh,
  entryLow,
  entryPfn,
  PageFault,
  PTE_HIGH_NX,
  PteBit,
} from "../../../src/hardware/page-table-entry.ts";
import { entryOffset, MAPPED, PageWalker, pageHigh, pageLow } from "../../../src/hardware/page-walk.ts";
import { tlbGeometry } from "../../../src/hardware/tlb-geometry.ts";
import { frameOf } from "../../../src/memory/units.ts";
import { soloCpu } from "../../support/solo.ts";

const { PRESENT, RW, USER, ACCESSED, DIRTY, PSE, GLOBAL } = PteBit;
const { PROT, WRITE, INSTR, RSVD } = PageFault;
const KERNEL_BITS = PRESENT | RW | GLOBAL;
/** ffffc90000000000. */
const BASE = -0x370000000000;
const ROOT = 8;

/** Tables in frames from 8 on, filled by `map`. */
function machine(levels: 4 | 5 = 4) {
  const { cpu, memory } = soloCpu({ bytes: 1 << 20 });
  let nextTable = ROOT + 1;
  const entryOf = (address: number, level: number): number => {
    let table = ROOT;
    for (let at = levels as number; ; at--) {
      const entry = frameOf(table) + entryOffset(pageLow(address), pageHigh(address), at);
      if (at === level) return entry;
      if (memory.read(entry) === 0) memory.write(entry, entryLow(nextTable++, PRESENT | RW | USER));
      table = entryPfn(memory.read(entry), memory.read(entry + 1));
    }
  };
  const map = (address: number, pfn: number, bits: number, nx = 0, level = 1): number => {
    const entry = entryOf(address, level);
    memory.write(entry + 1, entryHigh(pfn, nx));
    memory.write(entry, entryLow(pfn, bits));
    return entry;
  };
  const mmu = new Mmu(memory, cpu.tlb, levels);
  const translate = (address: number, access = 0, pcid = 0): number =>
    mmu.translate({ rootPfn: () => ROOT }, pcid, address, access);
  return { cpu, memory, tlb: cpu.tlb, map, translate };
}

describe("entries", () => {
  test.each([0, 1, 0xfffff, 0x100000, 2 ** 31, 2 ** 40 - 1])("frame %d survives two words", (pfn) => {
    const low = entryLow(pfn, PRESENT | RW);
    const high = entryHigh(pfn, PTE_HIGH_NX);
    expect(entryPfn(low | 0, high | 0)).toBe(pfn);
    expect(low & 0xfff).toBe(PRESENT | RW);
  });

  test("each level's index is the processor's", () => {
    // ffffc90000000000 + 1 of level 3, 2 of level 2, 3 of level 1
    const address = BASE + 2 ** 30 + 2 * 2 ** 21 + 3 * 4096;
    const indexes = [5, 4, 3, 2, 1].map(
      (level) => entryOffset(pageLow(address), pageHigh(address), level) / 2,
    );
    expect(indexes).toEqual([511, 402, 1, 2, 3]);
  });

  test("a fault is described as the kernel does", () => {
    expect(describeFault(0)).toBe("#PF: supervisor read access, error_code(0x0000) - not-present page");
    expect(describeFault(PROT | WRITE)).toMatch(/write access.*0003.*permissions violation/);
    expect(describeFault(PROT | RSVD)).toMatch(/reserved bit violation/);
  });
});

describe("walk", () => {
  test.each([4, 5] as const)("%d levels: finds the word, sets accessed and, on a write, dirty", (levels) => {
    const { map, translate, memory } = machine(levels);
    const address = BASE + 5 * 4096;
    const entry = map(address, 77, KERNEL_BITS);
    expect(translate(address + 40)).toBe(frameOf(77) + 10);
    expect(memory.read(entry) & (ACCESSED | DIRTY)).toBe(ACCESSED);
    expect(translate(address + 44, WRITE)).toBe(frameOf(77) + 11);
    expect(memory.read(entry) & (ACCESSED | DIRTY)).toBe(ACCESSED | DIRTY);
  });

  test("what is not mapped, read-only or not executable faults with the processor's code", () => {
    const { map, translate, tlb } = machine();
    map(BASE, 50, PRESENT);
    map(BASE + 4096, 51, KERNEL_BITS, PTE_HIGH_NX);
    expect(faultCode(translate(BASE + 8192))).toBe(0);
    expect(faultCode(translate(BASE + 8192, WRITE))).toBe(WRITE);
    expect(faultCode(translate(BASE, WRITE))).toBe(PROT | WRITE);
    expect(faultCode(translate(BASE + 4096, INSTR))).toBe(PROT | INSTR);
    expect(faultCode(translate(BASE, PageFault.USER))).toBe(PROT | PageFault.USER);
    expect(tlb.counts.faults).toBe(5);
    expect(translate(BASE)).toBe(frameOf(50));
    // now from the TLB
    expect(faultCode(translate(BASE, WRITE))).toBe(PROT | WRITE);
  });

  test("pages of 2 MiB and 1 GiB; a large page at the top is a reserved bit", () => {
    const { map, translate } = machine();
    map(BASE, 512, KERNEL_BITS | PSE, 0, 2);
    map(BASE + 2 ** 30, 0, KERNEL_BITS | PSE, 0, 3);
    map(BASE + 2 ** 39, 0, KERNEL_BITS | PSE, 0, 4);
    for (let i = 0; i < 2; i++) {
      expect(translate(BASE + 3 * 4096 + 8)).toBe(frameOf(515) + 2);
      expect(translate(BASE + 2 ** 30 + 9 * 4096)).toBe(frameOf(9));
    }
    expect(faultCode(translate(BASE + 2 ** 39))).toBe(PROT | RSVD);
  });

  test("a look sets no bit", () => {
    const { map, memory } = machine();
    const entry = map(BASE, 60, PRESENT);
    const walker = new PageWalker(memory);
    expect(walker.look(ROOT, BASE)).toBe(MAPPED);
    expect([walker.pfn, walker.level, walker.entry]).toEqual([60, 1, entry]);
    expect(memory.read(entry) & ACCESSED).toBe(0);
    expect(walker.look(ROOT, BASE + 4096)).not.toBe(MAPPED);
  });

  test("an entry that changes under the walk is read again", () => {
    const { map, memory } = machine();
    const entry = map(BASE, 61, KERNEL_BITS);
    const { load } = memory;
    let looks = 0;
    memory.load = (address) => {
      const value = load.call(memory, address);
      if (address === entry && ++looks === 1) map(BASE, 0x100000 + 62, KERNEL_BITS);
      return value;
    };
    const walker = new PageWalker(memory);
    expect(walker.walk(ROOT, BASE, 0)).toBe(MAPPED);
    expect(walker.pfn).toBe(0x100000 + 62);
  });
});

describe("TLB", () => {
  test("the short way finds a small page with the rights that are needed, in the loaded tables alone", () => {
    const { map, translate, tlb } = machine();
    const address = 0x7f00_0000_5000;
    map(address, 75, PRESENT | RW | USER);
    tlb.loadTables(ROOT, 3);
    expect(tlb.wordAt(address, USER)).toBe(-1);
    translate(address, USER, 3);
    expect(tlb.wordAt(address + 12, USER)).toBe(frameOf(75) + 3);
    // dirty is not set yet: the first write goes to the tables
    expect(tlb.wordAt(address, USER | RW | DIRTY)).toBe(-1);
    translate(address, USER | WRITE, 3);
    expect(tlb.wordAt(address, USER | RW | DIRTY)).toBe(frameOf(75));
    // an address that has the same low bits of its page's number
    expect(tlb.wordAt(address + 2 ** 43, USER)).toBe(-1);
    tlb.loadTables(ROOT, 4);
    expect([tlb.rootPfn(), tlb.pcid, tlb.wordAt(address, USER)]).toEqual([ROOT, 4, -1]);
    tlb.flushPage(address, 3);
    tlb.loadTables(ROOT, 3);
    expect(tlb.wordAt(address, USER)).toBe(-1);
  });

  test("the page-walk cache begins a walk at the page table until its PCID is flushed", () => {
    const { map, translate, memory, tlb } = machine();
    const entry = map(BASE, 70, KERNEL_BITS);
    map(BASE + 4096, 71, KERNEL_BITS);
    translate(BASE);
    const cached = tlb.tables.find(pageLow(BASE), pageHigh(BASE), 0);
    expect(tlb.tables.tableAt(cached)).toBe(entry >> 10);
    // another table is put there: who has not been told walks through the old one
    const above = frameOf(10);
    memory.fill(above, 1024, 0);
    expect(translate(BASE + 4096)).toBe(frameOf(71));
    expect(tlb.counts).toMatchObject({ walks: 2, walkCacheHits: 1 });
    tlb.flushPage(BASE + 2 ** 30, 0);
    expect(tlb.tables.entries()).toEqual([]);
    expect(faultCode(translate(BASE + 2 * 4096))).toBe(0);
  });

  test("a fault ends what its own translation has used, and nothing else", () => {
    const { map, translate, tlb } = machine();
    const far = BASE + 2 ** 30 + 2 ** 21;
    map(BASE, 70, PRESENT | ACCESSED);
    map(far, 71, PRESENT | ACCESSED);
    translate(BASE);
    translate(far);
    expect(tlb.tables.entries()).toHaveLength(2);
    // A refused write: the entry and its table are forgotten, the other ones stay, and no flush is counted.
    expect(faultCode(translate(BASE, WRITE))).toBe(PROT | WRITE);
    expect(tlb.knowsIn(BASE, 4096)).toBe(false);
    expect(tlb.knowsIn(far, 4096)).toBe(true);
    expect(tlb.tables.entries()).toHaveLength(1);
    expect(tlb.counts).toMatchObject({ faults: 1, flushesPage: 0 });
    // Nothing is mapped there: no entry, but the walk began at a table that is remembered.
    expect(faultCode(translate(far + 4096))).toBe(0);
    expect(tlb.tables.entries()).toEqual([]);
    expect(tlb.knowsIn(far, 4096)).toBe(true);
  });

  test("large pages are found and dropped as long as there may be some", () => {
    const { map, translate, tlb } = machine();
    const large = BASE + 2 ** 30;
    map(large, 512, (KERNEL_BITS & ~GLOBAL) | PSE, 0, 2);
    expect(translate(large + 4096)).toBe(frameOf(513));
    expect(translate(large + 2 * 4096)).toBe(frameOf(514));
    expect(tlb.counts).toMatchObject({ walks: 1, hits: 0, largeHits: 1, walkCacheHits: 0 });
    tlb.flushPage(large + 5 * 4096, 0);
    expect(tlb.entries()).toEqual([]);
    translate(large);
    tlb.flushAll();
    expect(tlb.knowsIn(large, 2 ** 21)).toBe(false);
    translate(large);
    expect(tlb.counts.walks).toBe(3);
  });

  test("is asked first: tables that change are seen after the flush, and not before", () => {
    const { map, translate, tlb } = machine();
    map(BASE, 70, KERNEL_BITS);
    expect(translate(BASE)).toBe(frameOf(70));
    map(BASE, 71, KERNEL_BITS);
    expect(translate(BASE)).toBe(frameOf(70));
    tlb.flushPage(BASE, 0);
    expect(translate(BASE)).toBe(frameOf(71));
    expect(tlb.counts).toMatchObject({ hits: 1, walks: 2, flushesPage: 1 });
  });

  test("the first write through an entry sets the dirty bit, later ones do not walk", () => {
    const { map, translate, tlb } = machine();
    map(BASE, 72, KERNEL_BITS);
    translate(BASE);
    translate(BASE, WRITE);
    translate(BASE, WRITE);
    translate(BASE);
    expect(tlb.counts).toMatchObject({ walks: 2, hits: 3 });
    expect(tlb.entries().length).toBe(2); // one in each level
  });

  test("says whether it knows any page of a range", () => {
    const { map, translate, tlb } = machine();
    map(BASE + 5 * 4096, 72, KERNEL_BITS);
    translate(BASE + 5 * 4096);
    expect(tlb.knowsIn(BASE, 5 * 4096)).toBe(false);
    expect(tlb.knowsIn(BASE, 6 * 4096)).toBe(true);
    expect(tlb.knowsIn(BASE + 6 * 4096, 2 ** 40)).toBe(false);
    expect(tlb.knowsIn(BASE - 2 ** 41, 2 ** 42)).toBe(true);
  });

  test("entries of one PCID serve only that, global ones all", () => {
    const { map, translate, tlb } = machine();
    map(0x400000, 80, PRESENT | RW | USER);
    map(BASE, 81, KERNEL_BITS);
    for (const pcid of [1, 2]) translate(0x400000, 0, pcid);
    for (const pcid of [1, 2]) translate(BASE, 0, pcid);
    expect(tlb.counts.walks).toBe(3);
    tlb.flushPcid(1);
    translate(BASE, 0, 1);
    translate(0x400000, 0, 2);
    expect(tlb.counts.walks).toBe(3);
    translate(0x400000, 0, 1);
    expect(tlb.counts.walks).toBe(4);
    tlb.flushPage(BASE, 5);
    expect(tlb.entries().filter((entry) => entry.isGlobal)).toEqual([]);
    tlb.flushAll();
    expect(tlb.entries()).toEqual([]);
  });

  test("the second level keeps what the first one has no room for", () => {
    const { map, translate, tlb } = machine();
    const { small, shared } = tlbGeometry("parallel");
    const pages = small.sets * small.ways * 2;
    for (let i = 0; i < pages; i++) map(BASE + i * 4096, 100 + (i % 50), KERNEL_BITS);
    for (let i = 0; i < pages; i++) translate(BASE + i * 4096);
    for (let i = 0; i < pages; i++) expect(translate(BASE + i * 4096)).toBe(frameOf(100 + (i % 50)));
    expect(tlb.counts).toMatchObject({ walks: pages, sharedHits: pages, hits: 0 });
    // One set of the second level overflows: its oldest page is walked to again.
    for (let i = 0; i <= shared.ways; i++) map(BASE + i * shared.sets * 4096, 100 + i, KERNEL_BITS);
    tlb.flushAll();
    for (let i = 0; i <= shared.ways; i++) translate(BASE + i * shared.sets * 4096);
    const before = tlb.counts.walks;
    tlb.flushPage(BASE + shared.sets * 4096, 0);
    for (let i = 2; i <= shared.ways; i++) translate(BASE + i * shared.sets * 4096);
    expect(tlb.counts.walks).toBe(before);
    translate(BASE);
    expect(tlb.counts.walks).toBe(before + 1);
  });
});
