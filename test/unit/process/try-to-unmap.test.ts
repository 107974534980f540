/** Lazily freed pages are taken away by their reverse maps, with one flush for many; what was put off is made up for. */

import { describe, expect, test } from "vitest";
import { PAGE_BYTES, type Pfn } from "../../../src/memory/units.ts";
import { VmEvent } from "../../../src/mm/pages/counters.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { isPresent } from "../../../src/mm/pgtable/pte.ts";
import { Madvice } from "../../../src/process/madvise.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { RssMember } from "../../../src/process/rss.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import { contextOf } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGES = 8;
const CALL_FUNCTION = 2;

/** A process with `PAGES` pages that were written to and given up; both CPUs run it. */
function machine() {
  const { kernels, check } = kernelsOf({ cpus: 3 });
  const [kernel, other] = kernels;
  const { processes, paging, memory } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
  const request = { address: 0, bytes: PAGES * PAGE_BYTES, prot: Prot.READ | Prot.WRITE, flags };
  const start = processes.calls.mmap(mm, { ...request, file: null, offset: 0 });
  for (const { processes: own } of [kernel, other]) own.use(mm);
  for (let i = 0; i < PAGES; i++) paging.user.write(start + i * PAGE_BYTES, i + 1);
  const entry = (i: number): { low: number; pfn: Pfn } => {
    const { tables } = paging;
    const address = start + i * PAGE_BYTES;
    const at = tables.pteOffsetMapLock(tables.pmdOffset(contextOf(mm), address), address);
    const low = tables.pte.get(at);
    const pfn = tables.pte.pfnOf(low);
    tables.pteUnlock(at);
    return { low, pfn };
  };
  const pfns = Array.from({ length: PAGES }, (_, i) => entry(i).pfn);
  const giveUp = (): number => processes.calls.madvise(mm, start, PAGES * PAGE_BYTES, Madvice.FREE);
  const batched = (): number => memory.read(contextOf(mm) + MmContext.tlbFlushBatched);
  const end = (): void => {
    for (const { processes: own } of [kernel, other]) own.use(0);
    processes.spaces.put(mm);
    kernel.rcu.barrier();
    check();
  };
  return { kernel, other, kernels, mm, start, pfns, entry, giveUp, batched, end, check };
}

describe("discard", () => {
  test("frees what was given up and not written again, with one flush for all", () => {
    const { kernel, other, mm, start, pfns, entry, giveUp, end, check } = machine();
    expect(kernel.processes.reclaim.discard(pfns)).toBe(0);
    expect(giveUp()).toBe(0);
    for (let i = 0; i < PAGES; i++) expect(other.paging.user.read(start + i * PAGE_BYTES)).toBe(i + 1);
    other.paging.user.write(start + 3 * PAGE_BYTES, 99);
    const taken = other.cpu.interruptsTaken(CALL_FUNCTION);
    expect(kernel.processes.reclaim.discard(pfns)).toBe(PAGES - 1);
    expect(other.cpu.interruptsTaken(CALL_FUNCTION) - taken).toBe(1);
    expect(kernel.pages.vmstat.eventTotal(VmEvent.pglazyfreed)).toBe(PAGES - 1);
    for (let i = 0; i < PAGES; i++) expect(isPresent(entry(i).low)).toBe(i === 3);
    for (let i = 0; i < PAGES; i++)
      expect(other.paging.user.read(start + i * PAGE_BYTES)).toBe(i === 3 ? 99 : 0);
    // what was written again is not given up any more
    expect(kernel.processes.reclaim.discard([pfns[3]])).toBe(0);
    expect(kernel.processes.rss.read(mm, RssMember.ANON)).toBe(1);
    check();
    end();
  });

  test("takes a page out of every process that has it", () => {
    const { kernel, mm, pfns, start, giveUp, end, check } = machine();
    const { processes } = kernel;
    const child = processes.calls.fork(mm);
    giveUp();
    processes.use(child);
    expect(processes.calls.madvise(child, start, PAGES * PAGE_BYTES, Madvice.FREE)).toBe(0);
    expect(processes.reclaim.discard(pfns)).toBe(PAGES);
    for (const space of [child, mm]) expect(processes.rss.read(space, RssMember.ANON)).toBe(0);
    check();
    processes.use(mm);
    processes.spaces.put(child);
    end();
  });

  test("leaves a page that is locked in memory, and one that somebody holds", () => {
    const { kernel, mm, pfns, start, giveUp, end } = machine();
    const { processes, pages } = kernel;
    giveUp();
    pages.getPage(pfns[1]);
    expect(processes.calls.locking.mlock(mm, start, PAGE_BYTES)).toBe(0);
    expect(processes.reclaim.discard(pfns)).toBe(PAGES - 2);
    pages.putPage(pfns[1]);
    expect(processes.reclaim.discard(pfns)).toBe(1);
    end();
  });
});

describe("a flush that was put off", () => {
  /** Unmaps page 0 as `discard` does, and leaves the flush to others. */
  function putOff() {
    const at = machine();
    const { kernel, mm, start, other } = at;
    const { tables, batch } = kernel.paging;
    expect(other.paging.user.read(start)).toBe(1);
    const pte = tables.pteOffsetMapLock(tables.pmdOffset(contextOf(mm), start), start);
    const pfn = tables.pte.pfnOf(tables.pte.take(pte));
    batch.add(contextOf(mm), false);
    tables.pteUnlock(pte);
    kernel.processes.anonPages.unmap(pfn);
    kernel.processes.rss.add(mm, RssMember.ANON, -1);
    return { ...at, pfn };
  }

  test.each<[string, (at: ReturnType<typeof putOff>) => number]>([
    ["munmap", ({ kernel, mm, start }) => kernel.processes.calls.munmap(mm, start, PAGE_BYTES)],
    ["mprotect", ({ kernel, mm, start }) => kernel.processes.calls.mprotect(mm, start, PAGE_BYTES, 0)],
    [
      "madvise",
      ({ kernel, mm, start }) => kernel.processes.calls.madvise(mm, start, PAGE_BYTES, Madvice.DONTNEED),
    ],
  ])("is done by %s, whose own change would need none", (_name, call) => {
    const at = putOff();
    const { kernel, other, start, pfn, batched, end } = at;
    // nobody has been told yet
    expect(other.paging.user.read(start)).toBe(1);
    expect(batched()).toBe(1);
    expect(call(at)).toBe(0);
    expect(batched()).toBe(1 + (1 << 16));
    let value = 0;
    try {
      value = other.paging.user.read(start);
    } catch (error) {
      expect(error).toBeInstanceOf(UserSignal);
    }
    expect(value).toBe(0);
    kernel.paging.batch.flush();
    kernel.pages.putPage(pfn);
    end();
  });

  test("its count begins anew before pending comes round to flushed", () => {
    const { kernel, mm, batched, pfn, end } = putOff();
    const { batch } = kernel.paging;
    for (let i = 1; i < 0x4000; i++) batch.add(contextOf(mm), true);
    expect(batched()).toBe(0x4000);
    batch.add(contextOf(mm), true);
    expect(batched()).toBe(1);
    batch.flushDirty();
    batch.flushPending(contextOf(mm));
    expect(batched()).toBe(1 + (1 << 16));
    kernel.pages.putPage(pfn);
    end();
  });
});
