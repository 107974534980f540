/** Flushes between CPUs, and which address spaces a TLB remembers: several CPUs on one thread, counted exactly. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { PAGE_BYTES } from "../../../src/memory/units.ts";
import { VmEvent } from "../../../src/mm/pages/counters.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { UserFault } from "../../../src/mm/shootdown/user-access.ts";
import { AddressSpace, BASE, DIRTY, RW } from "../../support/address-spaces.ts";
import { kernelsOf } from "../../support/kernels.ts";

function machine(cpus: number) {
  const { kernels, check } = kernelsOf({ cpus });
  const space = new AddressSpace(kernels[0]);
  const total = (event: number): number => kernels[0].pages.vmstat.eventTotal(event);
  /** What `body` adds to the four counters, and to the interrupts taken. */
  const counted = (body: () => void): number[] => {
    const events = [
      VmEvent.nr_tlb_remote_flush,
      VmEvent.nr_tlb_remote_flush_received,
      VmEvent.nr_tlb_local_flush_all,
      VmEvent.nr_tlb_local_flush_one,
    ];
    const before = events.map(total);
    body();
    return events.map((event, i) => total(event) - before[i]);
  };
  const generation = (): number => kernels[0].memory.read(space.mm + MmContext.tlbGen);
  return { kernels, space, check, counted, generation };
}

/** The table's entry of a page. */
function entryOf(kernel: Kernel, mm: number, address: number): number {
  const { tables } = kernel.paging;
  const at = tables.pteOffsetMapLock(tables.pmdOffset(mm, address), address);
  tables.pteUnlock(at);
  return at;
}

describe("flush", () => {
  test("reaches every CPU that has the address space, and no other", () => {
    const { kernels, space, check, counted } = machine(4);
    for (let i = 0; i < 3; i++) kernels[i].paging.tlb.switchMm(space.mm);
    space.map(BASE, 7);
    for (let i = 0; i < 3; i++) expect(kernels[i].paging.user.read(BASE)).toBe(7);
    expect(counted(() => space.unmap(BASE))).toEqual([1, 2, 0, 1]);
    for (let i = 0; i < 3; i++) expect(() => kernels[i].paging.user.read(BASE)).toThrow(UserFault);
    check();
  });

  test("is local when only this CPU has it, and none when nobody has", () => {
    const { kernels, space, counted, generation } = machine(2);
    space.map(BASE, 1);
    expect(counted(() => space.unmap(BASE))).toEqual([0, 0, 0, 0]);
    kernels[0].paging.tlb.switchMm(space.mm);
    space.map(BASE, 1);
    expect(counted(() => space.unmap(BASE))).toEqual([0, 0, 0, 1]);
    expect(generation()).toBe(2);
  });

  test.each([
    [33, [1, 1, 0, 33]],
    [34, [1, 1, 1, 0]],
  ])("of %d pages", (pages, counts) => {
    const { kernels, space, check, counted } = machine(2);
    for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
    for (let i = 0; i < pages; i++) space.map(BASE + i * PAGE_BYTES, i);
    // one beside the range: it survives a partial flush only
    space.map(BASE - PAGE_BYTES, 5);
    kernels[1].paging.user.read(BASE - PAGE_BYTES);
    const { walks } = kernels[1].cpu.tlb.counts;
    expect(counted(() => space.unmap(BASE, BASE + pages * PAGE_BYTES))).toEqual(counts);
    kernels[1].paging.user.read(BASE - PAGE_BYTES);
    expect(kernels[1].cpu.tlb.counts.walks - walks).toBe(pages === 33 ? 0 : 1);
    check();
  });

  test("a CPU that is two behind forgets everything, and the late request finds nothing to do", () => {
    const { kernels, space, counted } = machine(3);
    for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
    space.map(BASE, 1);
    space.map(BASE + PAGE_BYTES, 2);
    for (const kernel of kernels) kernel.paging.user.read(BASE + PAGE_BYTES);
    // CPU 1 sends a flush of its own while CPU 2 has interrupts off
    const [first, second, third] = kernels;
    const flags = third.cpu.irqSave();
    const { relax } = first.cpu.turn;
    let sent = 0;
    first.cpu.turn.relax = () => {
      if (sent++ === 0) second.memory.add(space.mm + MmContext.tlbGen, 1);
      if (sent === 3) third.cpu.irqRestore(flags);
      relax();
    };
    const { flushesAll, flushesPage } = third.cpu.tlb.counts;
    expect(counted(() => first.paging.shootdown.flushPage(space.mm, BASE))).toEqual([1, 2, 0, 1]);
    expect(third.cpu.tlb.counts).toMatchObject({ flushesAll: flushesAll + 1, flushesPage });
    expect(third.paging.tlb.localGen).toBe(2);
    // the flush that generation 2 belongs to
    expect(first.paging.tlb.localGen).toBe(1);
  });

  test("a target with interrupts off keeps its stale entry, and the sender waits", () => {
    const { kernels, space, check } = machine(2);
    const [sender, target] = kernels;
    for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
    space.map(BASE, 77);
    expect(target.paging.user.read(BASE)).toBe(77);
    const flags = target.cpu.irqSave();
    const { relax } = sender.cpu.turn;
    const seen: number[] = [];
    sender.cpu.turn.relax = () => {
      if (seen.length < 3) seen.push(target.paging.user.read(BASE));
      else if (!target.cpu.irqsEnabled) target.cpu.irqRestore(flags);
      relax();
    };
    space.unmap(BASE);
    expect(seen).toEqual([77, 77, 77]);
    expect(() => target.paging.user.read(BASE)).toThrow(UserFault);
    check();
  });

  test("taking the right to write away is seen by all; giving it needs none", () => {
    const { kernels, space, counted, check } = machine(2);
    const [first, second] = kernels;
    for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
    space.map(BASE, 1);
    second.paging.user.write(BASE, 2);
    const at = entryOf(first, space.mm, BASE);
    first.paging.tables.pte.change(at, RW | DIRTY, 0);
    expect(counted(() => first.paging.shootdown.flushPage(space.mm, BASE))).toEqual([1, 1, 0, 1]);
    expect(() => second.paging.user.write(BASE, 3)).toThrow(UserFault);
    expect(second.paging.user.read(BASE)).toBe(2);
    first.paging.tables.pte.change(at, 0, RW);
    // the entry is older than the tables: the fault drops it, and the second try succeeds
    expect(() => second.paging.user.write(BASE, 3)).toThrow(UserFault);
    second.paging.user.write(BASE, 3);
    check();
  });
});

describe("switch", () => {
  test("six address spaces are remembered; the seventh takes the oldest slot", () => {
    const { kernels, check } = machine(1);
    const [kernel] = kernels;
    const { tlb, user } = kernel.paging;
    const spaces = Array.from({ length: 7 }, (_, i) => {
      const space = new AddressSpace(kernel);
      space.map(BASE, i);
      return space;
    });
    const visit = (i: number): number => {
      const { walks } = kernel.cpu.tlb.counts;
      tlb.switchMm(spaces[i].mm);
      expect(user.read(BASE)).toBe(i);
      return kernel.cpu.tlb.counts.walks - walks;
    };
    // slot 0 was init_mm's; the sixth takes it
    expect([0, 1, 2, 3, 4, 5].map(visit)).toEqual([1, 1, 1, 1, 1, 1]);
    expect([0, 1, 2, 3, 4, 5].map(visit)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(visit(6)).toBe(1);
    expect([1, 0, 1].map(visit)).toEqual([0, 1, 1]);
    check();
  });

  test("coming back flushes only what has changed meanwhile", () => {
    const { kernels, space, check } = machine(2);
    const [first, second] = kernels;
    const other = new AddressSpace(second);
    const { tlb, user } = second.paging;
    space.map(BASE, 1);
    tlb.switchMm(space.mm);
    expect(user.read(BASE)).toBe(1);
    tlb.switchMm(other.mm);
    expect(first.memory.load(space.mm + MmContext.cpumask)).toBe(0);
    expect(first.memory.load(other.mm + MmContext.cpumask)).toBe(2);
    space.unmap(BASE);
    space.map(BASE, 2);
    tlb.switchMm(space.mm);
    expect(user.read(BASE)).toBe(2);
    check();
  });

  test("a lazy CPU is told of no changes and finds out when it returns", () => {
    const { kernels, space, counted, check } = machine(2);
    const { tlb, user } = kernels[1].paging;
    tlb.switchMm(space.mm);
    space.map(BASE, 1);
    expect(user.read(BASE)).toBe(1);
    tlb.enterLazy();
    expect(counted(() => space.unmap(BASE))).toEqual([1, 0, 0, 0]);
    check();
    space.map(BASE, 2);
    tlb.switchMm(space.mm);
    expect(tlb.isLazy).toBe(false);
    expect(user.read(BASE)).toBe(2);
    tlb.enterLazy();
    tlb.switchMm(space.mm);
    const { walks } = kernels[1].cpu.tlb.counts;
    expect(user.read(BASE)).toBe(2);
    expect(kernels[1].cpu.tlb.counts.walks).toBe(walks);
  });

  test("a lazy CPU is told when tables are freed, and lets the address space go", () => {
    const { kernels, space, counted, check } = machine(2);
    const { tlb } = kernels[1].paging;
    tlb.switchMm(space.mm);
    tlb.enterLazy();
    expect(counted(() => kernels[0].paging.shootdown.flushMm(space.mm))).toEqual([1, 1, 0, 0]);
    expect([tlb.loadedMm, tlb.isLazy]).toEqual([tlb.initMm, false]);
    tlb.switchMm(space.mm);
    tlb.enterLazy();
    tlb.leaveMm();
    expect(tlb.loadedMm).toBe(tlb.initMm);
    tlb.switchMm(space.mm);
    expect(() => tlb.leaveMm()).toThrow(/leave_mm while a program has the address space/);
    tlb.enterLazy();
    space.end();
    expect(tlb.loadedMm).toBe(tlb.initMm);
    check();
  });
});

describe("the stale-entry check", () => {
  test("finds a freed frame that is still used", () => {
    const { kernels, space } = machine(2);
    const { tlb, user } = kernels[1].paging;
    tlb.switchMm(space.mm);
    const pfn = space.map(BASE, 1);
    user.read(BASE);
    kernels[0].pages.freePage(pfn);
    expect(() => user.read(BASE)).toThrow(
      new RegExp(
        `stale TLB entry: cpu 1 uses frame ${pfn} for address 0x7f0000400000 which is free;.*nobody has flushed it`,
      ),
    );
  });

  test("finds a right that was withdrawn, and a mapping that was replaced, without a flush for it", () => {
    const { kernels, space } = machine(2);
    const { tlb, user } = kernels[1].paging;
    const { tables, shootdown } = kernels[0].paging;
    tlb.switchMm(space.mm);
    const pfn = space.map(BASE, 1);
    const other = space.map(BASE + 8 * PAGE_BYTES, 2);
    user.write(BASE, 1);
    const at = entryOf(kernels[0], space.mm, BASE);
    tables.pteOffsetMapLock(tables.pmdOffset(space.mm, BASE), BASE);
    tables.pte.change(at, RW, 0);
    // who holds the lock may be about to flush
    user.write(BASE, 2);
    tables.pteUnlock(at);
    shootdown.flushPage(space.mm, BASE + PAGE_BYTES);
    expect(user.read(BASE)).toBe(2);
    expect(() => user.write(BASE, 3)).toThrow(
      new RegExp(
        `cpu 1 uses frame ${pfn} for address 0x7f0000400000 to write any more: permission was withdrawn, and no flush .*` +
          "cpu 0 has flushed 0x7f0000401000 to 0x7f0000402000 last",
      ),
    );
    tables.pte.set(at, tables.pte.get(entryOf(kernels[0], space.mm, BASE + 8 * PAGE_BYTES)), 0);
    expect(() => user.read(BASE)).toThrow(`where ${other} is mapped any more: permission was withdrawn`);
    tables.pte.take(at);
    expect(() => user.read(BASE)).toThrow("where nothing is mapped any more: permission was withdrawn");
  });

  test("finds a CPU that a completed flush has not reached", () => {
    const { kernels, space } = machine(2);
    const { tlb, user } = kernels[1].paging;
    tlb.switchMm(space.mm);
    space.map(BASE, 1);
    user.read(BASE);
    kernels[0].paging.tlb.switchMm(space.mm);
    // who clears the mask by mistake loses CPUs
    kernels[0].memory.store(space.mm + MmContext.cpumask, 1);
    kernels[0].paging.shootdown.flushPage(space.mm, BASE);
    expect(() => user.read(BASE)).toThrow(
      /cpu 1 uses frame \d+ .* although flush 1 is complete; .* generation 0 of 1; cpu 0 has flushed 0x7f0000400000 to 0x7f0000401000 last/,
    );
  });

  test("finds entries at rest that the tables do not have", () => {
    const { kernels, space, check } = machine(2);
    kernels[1].paging.tlb.switchMm(space.mm);
    space.map(BASE, 1);
    kernels[1].paging.user.write(BASE, 2);
    check();
    const { pte } = kernels[0].paging.tables;
    const at = entryOf(kernels[0], space.mm, BASE);
    pte.change(at, RW, 0);
    expect(check).toThrow(/cpu 1: stale TLB entry for page .*: rights/);
    pte.take(at);
    expect(check).toThrow(
      /cpu 1: stale TLB entry for page .*: nothing is mapped|frame \d+, nothing is mapped/,
    );
  });

  test("finds a page table that a CPU remembers although it is freed", () => {
    const { kernels, space, check } = machine(2);
    const { tlb, user } = kernels[1].paging;
    tlb.switchMm(space.mm);
    space.map(BASE, 1);
    user.read(BASE);
    tlb.enterLazy();
    space.unmap(BASE);
    const table = entryOf(kernels[0], space.mm, BASE) >> 10;
    const { tables } = kernels[0].paging;
    tables.detachTable(space.mm, tables.pmdOffset(space.mm, BASE));
    tables.freeTable(table);
    expect(check).toThrow(`cpu 1: remembers frame ${table} as a page table`);
    expect(() => user.speculate(BASE)).toThrow(/as a page table, which is free/);
  });
});

describe("gather", () => {
  test("pages go back after the flush, in batches; more than all batches are flushed in between", () => {
    const { kernels, space, counted, check } = machine(2);
    for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
    const free = check();
    const gather = kernels[0].paging.gather(space.mm);
    let full = 0;
    for (let i = 0; i < 8 + 19 * 510; i++) {
      gather.noteCleared(BASE);
      if (gather.removePage(0)) full = i + 1;
    }
    expect(full).toBe(8 + 19 * 510);
    const released: number[] = [];
    const second = kernels[0].paging.gather(space.mm, false, (pfn) => released.push(pfn));
    for (let i = 1; i <= 600; i++) {
      second.noteCleared(BASE);
      second.removePage(i, i === 9 || i === 3);
    }
    const rmaps: number[] = [];
    second.flushRmaps((pfn) => rmaps.push(pfn));
    second.flushRmaps(() => expect.unreachable());
    expect(rmaps).toEqual([3, 9]);
    expect(released).toEqual([]);
    // it has had company: everything is flushed, lazy CPUs too
    expect(counted(() => second.finish())).toEqual([1, 1, 1, 0]);
    expect(released).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
    expect(free).toBeGreaterThan(0);
  });

  test("without memory for a batch the caller is to flush", () => {
    const { kernels, space, check } = machine(1);
    const [kernel] = kernels;
    for (let i = 0; i < 20; i++) space.map(BASE + i * PAGE_BYTES, i);
    const { allocPage } = kernel.pages;
    kernel.pages.allocPage = () => 0;
    const gather = kernel.paging.gather(space.mm);
    const pages = Array.from({ length: 8 }, () => 0);
    expect(pages.map(() => gather.removePage(0))).toEqual([...Array(7).fill(false), true]);
    kernel.pages.allocPage = allocPage;
    expect(check).toThrow(/tlb_flush_pending 1/);
  });
});
