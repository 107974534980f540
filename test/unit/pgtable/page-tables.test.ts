/** Page tables in RAM: made on demand, read by the MMU, freed when nothing needs them. */

import { describe, expect, test } from "vitest";
import { PageFault } from "../../../src/hardware/page-table-entry.ts";
import { frameOf, PAGE_BYTES } from "../../../src/memory/units.ts";
import { NodeStat } from "../../../src/mm/pages/counters.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { PMD_BYTES, PUD_BYTES, userEnd } from "../../../src/mm/pgtable/address-range.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { isPresent, PageProt } from "../../../src/mm/pgtable/pte.ts";
import {
  isMigration,
  SwapBit,
  SwapType,
  swapHigh,
  swapLow,
  swapOffset,
  swapType,
} from "../../../src/mm/pgtable/swap-entry.ts";
import { UserFault } from "../../../src/mm/shootdown/user-access.ts";
import { insertPage } from "../../../src/mm/shootdown/zap.ts";
import { ACCESSED, AddressSpace, BASE, DIRTY, RW } from "../../support/address-spaces.ts";
import { kernelsOf } from "../../support/kernels.ts";

const { PROT, WRITE, USER } = PageFault;

function machine() {
  const { kernels, check } = kernelsOf({ cpus: 1 });
  const [kernel] = kernels;
  const space = new AddressSpace(kernel);
  kernel.paging.tlb.switchMm(space.mm);
  const tables = (): number => kernel.memory.read(space.mm + MmContext.tableBytes) / PAGE_BYTES;
  const entry = (address: number): number => {
    const { tables: t } = kernel.paging;
    const at = t.pteOffsetMapLock(t.pmdOffset(space.mm, address), address);
    if (at !== 0) t.pteUnlock(at);
    return at;
  };
  const fault = (access: () => unknown): { address: number; code: number } => {
    try {
      access();
    } catch (error) {
      if (error instanceof UserFault) return { address: error.address, code: error.code };
      throw error;
    }
    throw new Error("no fault");
  };
  return { kernel, space, check, tables, entry, fault, user: kernel.paging.user, memory: kernel.memory };
}

describe("tables", () => {
  test("are made on the way to a page, counted, and all go back", () => {
    const { kernel, space, check, tables } = machine();
    const free = check();
    expect(tables()).toBe(0);
    space.map(BASE, 1);
    expect(tables()).toBe(3);
    space.map(BASE + PAGE_BYTES, 2);
    expect(tables()).toBe(3);
    space.map(BASE + PMD_BYTES, 3);
    space.map(BASE + PUD_BYTES, 4);
    expect(tables()).toBe(6);
    check();
    const node = kernel.pages.frames.nodeAt(0);
    expect(kernel.pages.vmstat.nodeStateSnapshot(node, NodeStat.nr_page_table_pages)).toBe(7);
    kernel.paging.tlb.switchMm(kernel.paging.tlb.initMm);
    space.end();
    expect(check()).toBe(free + 2);
  });

  test("are freed only where nothing else needs them", () => {
    const { kernel, space, tables, check } = machine();
    const { ranges } = kernel.paging;
    const free = (start: number, end: number, floor: number, ceiling: number): void => {
      const gather = kernel.paging.gather(space.mm);
      ranges.freeTables(gather, start, end, floor, ceiling);
      gather.finish();
      kernel.rcu.barrier();
    };
    for (const address of [BASE, BASE + PMD_BYTES, BASE + PUD_BYTES]) space.map(address, 1);
    space.unmap(BASE, BASE + 2 * PMD_BYTES);
    // a neighbour in the same 2 MiB: its table stays
    free(BASE, BASE + PMD_BYTES, BASE - PAGE_BYTES, BASE + PAGE_BYTES);
    expect(tables()).toBe(6);
    // nothing else in the two tables, but in the 512 GiB above
    free(BASE, BASE + 2 * PMD_BYTES, 0, BASE + PUD_BYTES);
    expect(tables()).toBe(3);
    space.unmap(BASE + PUD_BYTES);
    free(BASE + PUD_BYTES, BASE + PUD_BYTES + PAGE_BYTES, 0, Infinity);
    expect(tables()).toBe(0);
    check();
  });

  test("an empty page table may go at any time, one that maps something stays", () => {
    const { kernel, space, tables, check } = machine();
    const { ranges } = kernel.paging;
    space.map(BASE, 1);
    const pmd = kernel.paging.tables.pmdOffset(space.mm, BASE);
    const free = (): boolean => {
      const gather = kernel.paging.gather(space.mm);
      const isFreed = ranges.freeEmpty(gather, pmd, BASE);
      gather.finish();
      return isFreed;
    };
    expect([free(), tables()]).toEqual([false, 3]);
    space.unmap(BASE);
    expect([free(), tables()]).toEqual([true, 2]);
    expect(free()).toBe(false);
    kernel.rcu.barrier();
    check();
  });

  test("a table that finds no batch waits for a grace period alone", () => {
    const { kernel, space, check } = machine();
    const before = check();
    const { ranges, shootdown } = kernel.paging;
    space.map(BASE, 1);
    space.unmap(BASE);
    const { allocPage } = kernel.pages;
    const { completed } = kernel.rcu;
    kernel.pages.allocPage = () => 0;
    const gather = kernel.paging.gather(space.mm);
    ranges.freeTables(gather, BASE, BASE + PAGE_BYTES, 0, Infinity);
    gather.finish();
    kernel.pages.allocPage = allocPage;
    expect(kernel.rcu.completed).toBe(completed + 3);
    expect(check()).toBe(before);
    shootdown.flushMm(space.mm);
  });

  test("a table that somebody else has just made is used, the spare goes back", () => {
    const { kernel, space, check } = machine();
    const free = check();
    const { tables } = kernel.paging;
    const { allocPage } = kernel.pages;
    const pfn = allocPage(Gfp.KERNEL);
    let raced = false;
    kernel.pages.allocPage = (gfp) => {
      if (!raced) {
        raced = true;
        space.map(BASE + PAGE_BYTES, 7);
      }
      return allocPage(gfp);
    };
    expect(insertPage(tables, space.mm, BASE, pfn, PageProt.WRITE)).toBe(0);
    expect(raced).toBe(true);
    kernel.pages.allocPage = allocPage;
    expect(insertPage(tables, space.mm, BASE, pfn, PageProt.WRITE)).toBe(-16);
    expect(check()).toBe(free - 5);
  });

  test("without memory nothing is left half made", () => {
    const { kernel, space, check, tables } = machine();
    const { allocPage } = kernel.pages;
    let left = 2;
    kernel.pages.allocPage = (gfp) => (left-- > 0 ? allocPage(gfp) : 0);
    expect(insertPage(kernel.paging.tables, space.mm, BASE, 77, PageProt.WRITE)).toBe(-12);
    kernel.pages.allocPage = allocPage;
    expect(tables()).toBe(2);
    check();
  });
});

describe("user access", () => {
  test("reads and writes what is mapped; the walk sets accessed and dirty", () => {
    const { space, user, memory, entry } = machine();
    const pfn = space.map(BASE, 42, PageProt.WRITE & ~ACCESSED);
    expect(memory.read(entry(BASE)) & (ACCESSED | DIRTY)).toBe(0);
    expect(user.read(BASE)).toBe(42);
    expect(memory.read(entry(BASE)) & (ACCESSED | DIRTY)).toBe(ACCESSED);
    user.write(BASE + 8, 43);
    expect(memory.read(entry(BASE)) & (ACCESSED | DIRTY)).toBe(ACCESSED | DIRTY);
    expect(memory.read(frameOf(pfn) + 2)).toBe(43);
    user.writeByte(BASE + 9, 0x7f);
    expect([user.readByte(BASE + 9), user.load(BASE + 8)]).toEqual([0x7f, 0x7f2b]);
    expect(user.cas(BASE + 8, 0x7f2b, 5)).toBe(0x7f2b);
    expect([user.add(BASE + 8, 3), user.read(BASE + 8)]).toEqual([5, 8]);
  });

  test("faults have the processor's code; the handler may make them good", () => {
    const { space, user, fault } = machine();
    expect(fault(() => user.read(BASE + 4))).toEqual({ address: BASE + 4, code: USER });
    expect(fault(() => user.write(BASE, 1)).code).toBe(USER | WRITE);
    space.map(BASE, 9, PageProt.READ);
    expect(user.read(BASE)).toBe(9);
    expect(fault(() => user.write(BASE, 1)).code).toBe(USER | WRITE | PROT);
    expect(fault(() => user.read(2 ** 47)).code).toBe(USER);
    expect(fault(() => user.read(-(2 ** 47) - 4)).code).toBe(USER);
    const seen: number[] = [];
    user.install((address, code) => {
      seen.push(address, code);
      space.map(address - (address % PAGE_BYTES), 11);
    });
    expect(user.read(BASE + PMD_BYTES)).toBe(11);
    expect(seen).toEqual([BASE + PMD_BYTES, USER]);
  });

  test("an entry without PRESENT that keeps its frame faults like none", () => {
    const { space, user, fault, memory, entry } = machine();
    space.map(BASE, 9, PageProt.NONE);
    expect(fault(() => user.read(BASE)).code).toBe(USER);
    expect(isPresent(memory.read(entry(BASE)))).toBe(true);
  });
});

describe("entries", () => {
  test("what software changes keeps what hardware sets meanwhile", () => {
    const { kernel, space, memory, entry, user } = machine();
    const pfn = space.map(BASE, 1);
    const at = entry(BASE);
    const { pte } = kernel.paging.tables;
    const { cas } = memory;
    let raced = false;
    memory.cas = (address, expected, value) => {
      if (address === at && !raced) {
        raced = true;
        user.write(BASE, 2);
      }
      return cas.call(memory, address, expected, value);
    };
    pte.change(at, RW, 0);
    memory.cas = cas;
    expect(memory.read(at) & (RW | DIRTY)).toBe(DIRTY);
    expect(pte.pfnOf(pte.take(at))).toBe(pfn);
    expect([memory.read(at), memory.read(at + 1)]).toEqual([0, 0]);
    kernel.pages.freePage(pfn);
  });

  // As __swp_entry of arch/x86/include/asm/pgtable_64.h, in 64 bits: ~offset << 14 >> 5 | type << 59.
  test.each([
    [0, 0],
    [0, 1],
    [1, 0x7fffff],
    [SwapType.MIGRATION_WRITE, 2 ** 31 + 5],
    [SwapType.MARKER, 2 ** 50 - 1],
  ])("a swap entry of type %d, offset %d has Linux's bits, is not present and not none", (type, offset) => {
    const flags = SwapBit.EXCLUSIVE | SwapBit.SOFT_DIRTY;
    for (const given of [0, flags]) {
      const [low, high] = [swapLow(offset, given), swapHigh(type, offset)];
      const entry = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
      const inverted = ((~BigInt(offset) & ((1n << 64n) - 1n)) << 14n) & ((1n << 64n) - 1n);
      expect(entry).toBe((inverted >> 5n) | (BigInt(type) << 59n) | BigInt(given));
      expect([isPresent(low), swapType(high), swapOffset(low, high)]).toEqual([false, type, offset]);
      expect(entry).not.toBe(0n);
    }
    expect(isMigration(swapHigh(type, offset))).toBe(type === SwapType.MIGRATION_WRITE);
  });

  test("the user's half ends a page below the hole, or where numbers are not exact any more", () => {
    expect([userEnd(4), userEnd(5)]).toEqual([2 ** 47 - 4096, 2 ** 53 - 4096]);
  });
});
