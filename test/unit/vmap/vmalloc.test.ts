/** vmalloc and its kin on a whole machine of one thread. */

import { describe, expect, test } from "vitest";
import { entryHigh, entryLow, entryPfn, PteBit } from "../../../src/hardware/page-table-entry.ts";
import { checkKernel } from "../../../src/machine/inspect.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { frameOf, type Pfn } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkVmap } from "../../../src/mm/vmap/check-vmap.ts";
import { FLUSH_CEILING } from "../../../src/mm/vmap/kernel-flush.ts";
import { formatAddress, VMALLOC_START } from "../../../src/mm/vmap/vmalloc-space.ts";
import { VMAP_RAM, VmFlag } from "../../../src/mm/vmap/vmap-area.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;

function machine(cpus = 1, memory = "16MiB") {
  const { kernels, check } = kernelsOf({ cpus, memory });
  return { kernels, check, kernel: kernels[0], vmap: kernels[0].vmap, virtual: kernels[0].virtual };
}

const framesOf = ({ pages }: Kernel, count: number): Pfn[] =>
  Array.from({ length: Math.min(count, pages.frames.maxPfn) }, () =>
    pages.allocPage(Gfp.KERNEL | GfpFlag.NOWARN),
  );

test("a machine that uses none loses none", () => {
  const { kernel, vmap, check } = machine();
  check();
  expect(vmap.space.isReady).toBe(false);
  expect(kernel.slabs.all()).toEqual([]);
  expect(checkVmap(vmap).tables).toBe(0);
});

describe("vmalloc", () => {
  test("gives pages at addresses in a row; what is written there is in the frames", () => {
    const { vmap, virtual, kernel, check } = machine();
    const address = vmap.vzalloc(3 * PAGE);
    expect(formatAddress(address)).toBe("ffffc90000000000");
    for (let at = 0; at < 3 * PAGE; at += 512) expect(virtual.read(address + at)).toBe(0);
    virtual.write(address + PAGE + 8, 42);
    const vm = kernel.memory.read(vmap.areas.find(address) + 12);
    expect(kernel.memory.read(frameOf(vmap.frames.get(vm, 1)) + 2)).toBe(42);
    expect(checkVmap(vmap).areas).toMatchObject({ busy: 1, free: 1, lazy: 0 });
    check();
    vmap.vfree(address);
    expect(checkVmap(vmap).areas).toMatchObject({ busy: 0, lazy: 1 });
    check();
  });

  test("the guard page, and what is freed, stop the machine", () => {
    const { vmap, virtual } = machine();
    const address = vmap.vmalloc(PAGE);
    virtual.write(address + PAGE - 4, 1);
    expect(() => virtual.read(address + PAGE)).toThrow(
      /unable to handle page fault for address: ffffc90000001000\n#PF: supervisor read access.*not-present/,
    );
    vmap.vfree(address);
    // The TLB still knows the page; after the purge it does not.
    expect(virtual.read(address + PAGE - 4)).toBeDefined();
    vmap.purge.reclaim();
    expect(() => virtual.write(address, 1)).toThrow(/supervisor write access.*0002/);
    expect(() => vmap.vfree(address)).toThrow(/vfree\(\) nonexistent vm area \(ffffc90000000000\)/);
  });

  test("an entry that is flipped in RAM is followed after the flush, and not before", () => {
    const { vmap, virtual, kernel } = machine();
    const { memory } = kernel;
    const address = vmap.vzalloc(PAGE);
    const [other] = framesOf(kernel, 1);
    memory.write(frameOf(other), 77);
    expect(virtual.read(address)).toBe(0);
    const entry = vmap.tables.leafEntry(address);
    const before = memory.read(entry);
    const own = entryPfn(before, memory.read(entry + 1));
    memory.write(entry + 1, entryHigh(other, 0));
    memory.store(entry, entryLow(other, before & 0xfff));
    expect(virtual.read(address)).toBe(0);
    expect(() => checkVmap(vmap)).toThrow(/W5 area ffffc90000000000: page 0 is frame/);
    vmap.flush.range(address, address + PAGE);
    expect(virtual.read(address)).toBe(77);
    virtual.write(address, 78);
    expect(memory.read(frameOf(other))).toBe(78);
    memory.store(entry, before & ~PteBit.RW);
    vmap.flush.range(address, address + PAGE);
    expect(() => virtual.write(address, 1)).toThrow(/permissions violation/);
    memory.store(entry, entryLow(own, before & 0xfff));
  });

  test("areas are the lowest that fit, and neighbours join again", () => {
    const { vmap, check } = machine();
    const all = [1, 2, 3, 4].map((pages) => vmap.vmalloc(pages * PAGE));
    expect(all.map((address) => (address - VMALLOC_START) / PAGE)).toEqual([0, 2, 5, 9]);
    const aligned = vmap.allocate(PAGE, { align: 2 ** 21 });
    expect(aligned).toBe(VMALLOC_START + 2 ** 21);
    check();
    vmap.vfree(all[1]);
    vmap.purge.reclaim();
    expect(vmap.vmalloc(2 * PAGE)).toBe(all[1]);
    for (const address of [...all, aligned]) vmap.vfree(address);
    vmap.purge.reclaim();
    expect(checkVmap(vmap).areas).toEqual({ free: 1, busy: 0, lazy: 0, pool: 0 });
    check();
  });

  test("more than the limit of lazy pages is purged by one flush", () => {
    const { vmap, kernel, check } = machine();
    vmap.start();
    vmap.purge.setLimit(10);
    const count = (): number => kernel.cpu.tlb.counts.flushesAll;
    const before = count();
    const all = Array.from({ length: 6 }, () => vmap.vmalloc(9 * PAGE));
    vmap.vfree(all[0]);
    expect(checkVmap(vmap).areas.lazy).toBe(1);
    for (const address of all.slice(1)) vmap.vfree(address);
    expect(checkVmap(vmap).areas.lazy).toBe(0);
    // ten pages each: at or below the ceiling pages are flushed one by one
    expect(count()).toBe(before);
    vmap.purge.setLimit(1000);
    const two = [vmap.vmalloc(20 * PAGE), vmap.vmalloc(20 * PAGE)];
    for (const address of two) vmap.vfree(address);
    vmap.vmUnmapAliases();
    expect(count()).toBe(before + 1);
    check();
  });

  test(`${FLUSH_CEILING} pages are flushed one by one, one more all at once`, () => {
    const { vmap, kernel } = machine();
    vmap.start();
    const { tlb } = kernel.cpu;
    const before = tlb.counts;
    vmap.flush.range(VMALLOC_START, VMALLOC_START + FLUSH_CEILING * PAGE);
    expect(tlb.counts.flushesPage).toBe(before.flushesPage + FLUSH_CEILING);
    expect(tlb.counts.flushesAll).toBe(before.flushesAll);
    vmap.flush.range(VMALLOC_START, VMALLOC_START + (FLUSH_CEILING + 1) * PAGE);
    expect(tlb.counts.flushesAll).toBe(before.flushesAll + 1);
  });

  test("what cannot be had is said, and nothing is lost", () => {
    const { vmap, kernel, check } = machine(1, "4MiB");
    expect(vmap.vmalloc(0)).toBe(0);
    expect(vmap.vmalloc(2 ** 40)).toBe(0);
    const first = vmap.vmalloc(PAGE);
    vmap.vfree(first);
    vmap.purge.reclaim();
    for (const cache of kernel.slabs.all()) kernel.slabs.shrink(cache);
    kernel.pages.drain.all();
    const free = check();
    expect(vmap.vmalloc(free * PAGE)).toBe(0);
    vmap.purge.reclaim();
    for (const cache of kernel.slabs.all()) kernel.slabs.shrink(cache);
    kernel.pages.drain.all();
    // at most the tables for the range that was tried are left
    expect(free - check()).toBeLessThanOrEqual(3);
    expect(kernel.takeLog().join("\n")).toMatch(
      /there must be at least one byte.*exceeds total pages.*failed to allocate pages/s,
    );
    expect(checkVmap(vmap).areas).toMatchObject({ busy: 0, lazy: 0 });
  });

  test("addresses that are lazy are purged for who needs them, and a range that is full is said", () => {
    const { vmap, kernel, check } = machine(1, "1MiB");
    vmap.start();
    const whole = vmap.space.end - VMALLOC_START;
    const alloc = (size: number): number => vmap.areas.alloc(size, PAGE, Gfp.KERNEL, VMAP_RAM, 0);
    const first = alloc(whole);
    expect(alloc(PAGE)).toBe(0);
    expect(kernel.takeLog().join("\n")).toMatch(
      /^vmalloc_node_range for size 4096 failed: Address range restricted to 0xffffc90000000000 - 0x/,
    );
    vmap.areas.unlink(first);
    vmap.areas.freeNoFlush(first);
    const halves = [alloc(whole / 2), alloc(whole / 2)];
    expect(halves.map((at) => vmap.areas.startOf(at))).toEqual([VMALLOC_START, VMALLOC_START + whole / 2]);
    check();
  });

  test("without memory for its beginning there is none, and nothing is lost", () => {
    const { vmap, kernel, check } = machine(1, "2MiB");
    kernel.heap.start();
    const held = framesOf(kernel, 2 ** 20).filter((pfn) => pfn !== 0);
    // One page more at each attempt: every step on the way fails once.
    let failures = 0;
    for (let before = check(); !vmap.start(); before = check()) {
      failures++;
      expect(check()).toBe(before);
      kernel.pages.freePage(held.pop() ?? 0);
    }
    expect(failures).toBeGreaterThan(5);
    for (const pfn of held) kernel.pages.freePage(pfn);
    expect(vmap.vmalloc(PAGE)).toBe(VMALLOC_START);
    check();
  });

  test("arrays of more than a page of frames lie in an area of their own", () => {
    const { vmap, virtual, check } = machine(1, "32MiB");
    const bytes = 1100 * PAGE;
    const address = vmap.vmalloc(bytes);
    virtual.fill(address, bytes, 7);
    expect(virtual.read(address + bytes - 4)).toBe(7);
    expect(checkVmap(vmap).areas.busy).toBe(2);
    check();
    vmap.vfree(address);
    vmap.purge.reclaim();
    check();
  });
});

test("words and bytes are copied from address to address across pages", () => {
  const { vmap, virtual } = machine();
  const from = vmap.vmalloc(3 * PAGE);
  const to = vmap.vmalloc(3 * PAGE);
  for (let at = 0; at < 3 * PAGE; at += 4) virtual.write(from + at, at);
  virtual.copy(to + 8, from + 2000, 2 * PAGE);
  for (let at = 0; at < 2 * PAGE; at += 4) expect(virtual.read(to + 8 + at)).toBe(2000 + at);
  virtual.writeByte(to + 4097, 0xab);
  expect(virtual.readByte(to + 4097)).toBe(0xab);
  virtual.store(to, 5);
  expect(virtual.load(to)).toBe(5);
});

test("vmap maps frames of one's own, and leaves them unless told otherwise", () => {
  const { vmap, virtual, kernel, check } = machine();
  const frames = framesOf(kernel, 5);
  const address = vmap.vmap(frames);
  frames.forEach((pfn, i) => {
    virtual.write(address + i * PAGE, i + 1);
    expect(kernel.memory.read(frameOf(pfn))).toBe(i + 1);
  });
  check();
  vmap.vunmap(address);
  const again = vmap.vmap(frames, VmFlag.MAP | VmFlag.MAP_PUT_PAGES);
  check();
  vmap.vfree(again);
  vmap.purge.reclaim();
  for (const pfn of frames) expect(kernel.pages.pageCount(pfn)).toBe(0);
  check();
});

describe("vm_map_ram", () => {
  test("small pieces share a block, whose area is lazy once all is dirty", () => {
    const { vmap, virtual, kernel, check } = machine();
    const frames = framesOf(kernel, 64);
    const first = vmap.vmMapRam(frames.slice(0, 3));
    virtual.write(first + 2 * PAGE, 9);
    expect(kernel.memory.read(frameOf(frames[2]))).toBe(9);
    expect(Math.abs(first % 2 ** 22)).toBe(0);
    const second = vmap.vmMapRam(frames.slice(0, 1));
    expect(second).toBe(first + 4 * PAGE);
    expect(checkVmap(vmap)).toMatchObject({ blocks: 1, mappedPages: 4 });
    vmap.vmUnmapRam(first, 3);
    // no address twice before a flush
    expect(vmap.vmMapRam(frames.slice(0, 2))).toBe(first + 5 * PAGE);
    vmap.vmUnmapRam(first + 5 * PAGE, 2);
    vmap.vmUnmapRam(second, 1);
    check();
    for (let i = 0; i < 16; i++) vmap.vmUnmapRam(vmap.vmMapRam(frames), 64);
    expect(checkVmap(vmap).blocks).toBe(2);
    vmap.purge.reclaim();
    expect(checkVmap(vmap)).toMatchObject({ blocks: 0, mappedPages: 0, areas: { lazy: 0 } });
    kernel.rcu.barrier();
    check();
  });

  test("larger ones have an area of their own", () => {
    const { vmap, virtual, kernel, check } = machine();
    const frames = framesOf(kernel, 65);
    const address = vmap.vmMapRam(frames);
    virtual.write(address + 64 * PAGE, 3);
    expect(checkVmap(vmap)).toMatchObject({ blocks: 0, mappedPages: 65 });
    vmap.vmUnmapRam(address, 65);
    check();
  });

  test("a flush of aliases covers the dirty pages", () => {
    const { vmap, virtual, kernel, check } = machine();
    const frames = framesOf(kernel, 2);
    const keep = vmap.vmMapRam(frames.slice(0, 1));
    const address = vmap.vmMapRam(frames.slice(1));
    virtual.write(address, 1);
    vmap.vmUnmapRam(address, 1);
    expect(virtual.read(address)).toBe(1); // stale
    check();
    vmap.vmUnmapAliases();
    expect(() => virtual.read(address)).toThrow(/not-present/);
    check();
    vmap.vmUnmapRam(keep, 1);
    expect(() => vmap.vmUnmapRam(address, 1)).toThrow(/not in use/);
  });
});

test("kvmalloc takes small sizes from kmalloc, and what is too large for that from vmalloc", () => {
  const { vmap, check } = machine(1, "32MiB");
  const small = vmap.kvmalloc(100);
  const large = vmap.kvmalloc(5 * 2 ** 20);
  expect(small).toBeGreaterThan(0);
  expect(large).toBeLessThan(0);
  expect(vmap.kvmalloc(5 * 2 ** 20, Gfp.KERNEL & ~GfpFlag.DIRECT_RECLAIM)).toBe(0);
  check();
  vmap.kvfree(small);
  vmap.kvfree(large);
  vmap.kvfree(0);
  check();
});

describe("several CPUs", () => {
  test("what one frees goes to the pool of its node by the purge of another", () => {
    const { kernels, vmap, check } = machine(4);
    const [first, second] = kernels;
    const address = second.vmap.vmalloc(PAGE);
    second.virtual.write(address, 1);
    vmap.vfree(address);
    first.vmap.vmUnmapAliases();
    expect(checkVmap(vmap).areas.pool).toBe(1);
    expect(() => second.virtual.read(address)).toThrow(/page fault/);
    expect(second.vmap.vmalloc(PAGE)).toBe(address);
    check();
  });

  test("a CPU that was told nothing is found: its entry outlives the area", () => {
    const { kernels, vmap } = machine(2);
    const address = vmap.vmalloc(PAGE);
    kernels[1].virtual.read(address);
    vmap.vfree(address);
    // the check allows for lazy areas; here the purge forgets the flush
    kernels[0].vmap.flush.range = () => {};
    vmap.vmUnmapAliases();
    expect(() => checkVmap(vmap)).toThrow(
      /W1 cpu 1: its TLB maps ffffc90000000000 to frame \d+; .* area there is (pool|free)/,
    );
    expect(() => checkKernel(kernels[0])).toThrow(/W1/);
  });

  test("a CPU that leaves takes no entry with it", () => {
    const { kernels, vmap, check } = machine(2);
    const address = vmap.vmalloc(PAGE);
    kernels[1].virtual.read(address);
    kernels[1].takeDown();
    vmap.vfree(address);
    vmap.vmUnmapAliases();
    check();
  });
});
