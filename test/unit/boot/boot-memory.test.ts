import { describe, expect, test } from "vitest";
import { ImageLayout } from "../../../src/memory/image.ts";
import { checkBoot } from "../../../src/mm/boot/boot-check.ts";
import { attachMemory, BOOT_INFO, BootInfo } from "../../../src/mm/boot/boot-info.ts";
import { bootMemory } from "../../../src/mm/boot/boot-memory.ts";
import { declareMm, planMemory } from "../../../src/mm/boot/mm-image.ts";
import { checkPages } from "../../../src/mm/pages/check-pages.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { Page, PageType, pageRef } from "../../../src/mm/pages/page.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { PerCpuPages } from "../../../src/mm/pages/per-cpu-pages.ts";
import { Watermark, Zone } from "../../../src/mm/pages/zone.ts";
import { ZoneIndex } from "../../../src/mm/pages/zone-index.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { SpinLocks } from "../../../src/sync/spinlock.ts";
import { SpinLock } from "../../../src/sync/spinlock-layout.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";
import { soloCpu } from "../../support/solo.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

describe("a PC of 256 MiB", () => {
  const booted = bootOnly({ cpus: 4, memoryBytes: 256 * MIB });

  test("hands over what is not reserved, in the largest aligned blocks", () => {
    const dma = booted.blocks.filter((block) => block.pfn < 4096);
    expect(dma).toEqual([
      { pfn: 256, order: 8 },
      { pfn: 512, order: 9 },
      { pfn: 1024, order: 10 },
      { pfn: 2048, order: 10 },
      { pfn: 3072, order: 10 },
    ]);
    const free = booted.blocks.reduce((sum, block) => sum + (1 << block.order), 0);
    expect(globalWord(booted, "totalRamPages")).toBe(free);
    checkBoot(booted.memory, booted.mm);
  });

  test("has the DMA zone of a real PC", () => {
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA);
    const read = (field: number) => booted.memory.read(zone + field);
    expect([read(Zone.spannedPages), read(Zone.presentPages), read(Zone.managedPages)]).toEqual([
      4095, 3998, 3840,
    ]);
    expect(read(Zone.startPfn)).toBe(1);
    expect(read(Zone.contiguous)).toBe(0);
  });

  test("marks reserved and missing frames, and leaves holes of whole pageblocks alone", () => {
    expect([0, 1, 0x9f, 0xa0, 0xff, 0x1000].map((pfn) => typeOf(booted, pfn))).toEqual(
      new Array(6).fill(PageType.RESERVED),
    );
    expect(typeOf(booted, 0x100)).toBe(PageType.NONE);
  });

  test("keeps the kernel's parts apart", () => {
    const { record } = booted;
    const parts = [
      [record.imageStart, record.staticWords],
      [record.perCpuStart, record.possibleCpus * record.unitWords],
      [record.memMap, record.maxPfn * 16],
      [globalWord(booted, "pageblocks"), record.maxPfn / 512],
    ].sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < parts.length; i++)
      expect(parts[i - 1][0] + parts[i - 1][1]).toBeLessThanOrEqual(parts[i][0]);
    expect(record.imageStart).toBe((16 * MIB) / 4);
  });

  test("lets another CPU bind to the same addresses", () => {
    const image = new ImageLayout();
    const mm = declareMm(image, planMemory(booted.topology));
    SpinLocks.declare(image, 4);
    const record = attachMemory(booted.memory, image);
    expect(record).toEqual(booted.record);
    expect(mm.globals.address).toBe(booted.mm.globals.address);
    expect(mm.pagesets.of(3)).toBe(booted.mm.pagesets.of(3));
  });

  test("refuses a CPU that declares something else, and one that comes too early", () => {
    const other = new ImageLayout();
    declareMm(other, planMemory(booted.topology));
    other.perCpu("extra", BootInfo);
    expect(() => attachMemory(booted.memory, other)).toThrow(/the CPUs run different code/);
    const { memory } = soloCpu();
    expect(() => attachMemory(memory, new ImageLayout())).toThrow(/the boot CPU has not finished/);
  });

  test("has an allocator that works on every CPU and loses no page", () => {
    const free = globalWord(booted, "totalRamPages");
    const taken = booted.allocators.flatMap((pages) =>
      Array.from({ length: 500 }, () => [pages, pages.allocPage(Gfp.KERNEL)] as const),
    );
    expect(new Set(taken.map(([, pfn]) => pfn)).size).toBe(2000);
    for (const [pages, pfn] of taken) pages.freePage(pfn);
    const { frames, vmstat, drain } = booted.allocators[0];
    expect(checkPages(frames, vmstat)).toBe(free);
    drain.all();
    expect(checkPages(frames, vmstat)).toBe(free);
  });

  test("does not boot twice in the same RAM", () => {
    const image = new ImageLayout();
    const mm = declareMm(image, planMemory(booted.topology));
    const again = () =>
      bootMemory({
        memory: booted.memory,
        image,
        mm,
        attachBuddy: () => () => {},
        options: { banner: "again" },
      });
    expect(again).toThrow(/this RAM holds a booted machine/);
  });

  test("sets min_free_kbytes and marks", () => {
    expect(globalWord(booted, "minFreeKbytes")).toBe(
      Math.floor(Math.sqrt(globalWord(booted, "totalRamPages") * 64)),
    );
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA32) + Zone.watermark;
    const [min, low, high] = [Watermark.MIN, Watermark.LOW, Watermark.HIGH].map((w) =>
      booted.memory.read(zone + w),
    );
    expect(low - min).toBe(Math.floor(min / 4));
    expect(high - low).toBe(low - min);
  });

  test("gives each lock its class", () => {
    const classOf = (lock: number) => booted.memory.read(lock + SpinLock.classId);
    expect(classOf(booted.mm.zoneAt(0, ZoneIndex.DMA) + Zone.lock)).toBe(LockClass.ZONE);
    expect(classOf(booted.mm.nodes.at(0) + Node.lruLock)).toBe(LockClass.LRU);
    for (const cpu of [0, 3])
      expect(classOf(booted.mm.pagesets.of(cpu) + PerCpuPages.lock)).toBe(LockClass.PCP);
  });
});

test("huge pages raise min_free_kbytes, up to 5 % of low memory", () => {
  const small = bootOnly({ cpus: 1, memoryBytes: 256 * MIB }, { hugePages: true });
  expect(small.log.lines.at(-1)).toMatch(
    /raising min_free_kbytes from 2027 to 12\d{3} to help transparent hugepage/,
  );
  const fixed = bootOnly({ cpus: 1, memoryBytes: 256 * MIB }, { hugePages: true, minFreeKbytes: 5000 });
  expect(globalWord(fixed, "minFreeKbytes")).toBe(5000);
  const tiny = bootOnly({ cpus: 1, memoryBytes: MIB }, { hugePages: true });
  expect(globalWord(tiny, "minFreeKbytes")).toBe(128);
  expect(tiny.log.lines.join()).not.toContain("raising");
});

test("a machine of 4 MiB can have all zones, and groups no pages by mobility", () => {
  const zones = { dmaBytes: MIB, dma32Bytes: 2 * MIB, lowmemBytes: 3 * MIB };
  const booted = bootOnly({ cpus: 2, memoryBytes: 4 * MIB, zones, movablecoreBytes: 0 });
  checkBoot(booted.memory, booted.mm);
  expect(booted.mm.populated.map((zone) => zone.index)).toEqual([0, 1, 2, 3]);
  expect(globalWord(booted, "groupByMobilityDisabled")).toBe(1);
});

test("x86-32 keeps the kernel's own structures below 896 MiB", () => {
  const booted = bootOnly({ cpus: 2, memoryBytes: 2 * GIB, zones: "x86-32" });
  checkBoot(booted.memory, booted.mm);
  expect(booted.record.memMap * 4).toBeLessThan(896 * MIB);
  expect(booted.mm.populated.map((zone) => zone.index)).toEqual([
    ZoneIndex.DMA,
    ZoneIndex.NORMAL,
    ZoneIndex.HIGHMEM,
  ]);
});

test("two nodes account for their own page structures and see mem_map beyond memory", () => {
  const booted = bootOnly({ cpus: 4, nodes: 2, memoryBytes: 512 * MIB });
  checkBoot(booted.memory, booted.mm);
  expect(booted.record.windowPfn).toBe(booted.topology.maxPfn);
  expect(booted.record.memMap).toBe(booted.record.windowPfn * 1024);
  const reserved = [0, 1].map((node) => {
    const zone = booted.mm.zoneAt(node, ZoneIndex.DMA32);
    return booted.memory.read(zone + Zone.presentPages) - booted.memory.read(zone + Zone.managedPages);
  });
  for (const pages of reserved) expect(pages).toBeGreaterThanOrEqual(1022);
});

test("a node at 4 GiB costs no page structures for the hole before it", () => {
  const booted = bootOnly({
    cpus: 2,
    nodes: 2,
    memoryMap: [
      { startBytes: 0, sizeBytes: 64 * MIB, node: 0 },
      { startBytes: 4 * GIB, sizeBytes: 64 * MIB, node: 1 },
    ],
  });
  checkBoot(booted.memory, booted.mm);
  expect(booted.mm.populated.map(({ node, index }) => [node, index])).toEqual([
    [0, ZoneIndex.DMA],
    [0, ZoneIndex.DMA32],
    [1, ZoneIndex.NORMAL],
  ]);
  expect(globalWord(booted, "totalRamPages")).toBeGreaterThan(32768 * 0.97);
});

test("the boot record is in frame 1", () => {
  expect(BOOT_INFO).toBe(1024);
});

function globalWord(booted: Booted, field: keyof typeof PageGlobals): number {
  return booted.memory.read(booted.mm.globals.address + PageGlobals[field]);
}

const typeOf = (booted: Booted, pfn: number): number =>
  booted.memory.read(pageRef(booted.record.memMap, pfn) + Page.type);
