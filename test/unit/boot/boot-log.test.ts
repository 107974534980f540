import { expect, test } from "vitest";
import { bootOnly } from "../../support/boot.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Lines without their time stamps. */
const texts = (lines: readonly string[]) => lines.map((line) => line.replace(/^\[ *\d+\.\d{6}\] /, ""));

test("a PC of 256 MiB prints the lines of a real one", () => {
  const { log, mm, image } = bootOnly({ cpus: 4, memoryBytes: 256 * MIB });
  const imageKib = Math.ceil(image.staticWords / 1024) * 4;
  const staticBytes = image.perCpuWords * 4;
  const unit = Math.ceil((staticBytes + 36_864) / 4096) * 4096;
  const dynamic = unit - staticBytes - 8192;
  const presentKib = 65_438 * 4;
  // The DMA zone loses its first MiB; image, units, mem_map and 128 pageblock words the rest.
  const reservedKib = 158 * 4 + imageKib + (4 * unit) / 1024 + 4096 + 4;
  expect(texts(log.lines)).toEqual([
    "smpsim",
    "BIOS-provided physical RAM map:",
    "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable",
    "BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved",
    "BIOS-e820: [mem 0x00000000000f0000-0x00000000000fffff] reserved",
    "BIOS-e820: [mem 0x0000000000100000-0x000000000fffffff] usable",
    "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
    "last_pfn = 0x10000 max_arch_pfn = 0x200000",
    "No NUMA configuration found",
    "Faking a node at [mem 0x0000000000000000-0x000000000fffffff]",
    "Zone ranges:",
    "  DMA      [mem 0x0000000000001000-0x0000000000ffffff]",
    "  DMA32    [mem 0x0000000001000000-0x000000000fffffff]",
    "  Normal   empty",
    "Movable zone start for each node",
    "Early memory node ranges",
    "  node   0: [mem 0x0000000000001000-0x000000000009efff]",
    "  node   0: [mem 0x0000000000100000-0x000000000fffffff]",
    "Initmem setup node 0 [mem 0x0000000000001000-0x000000000fffffff]",
    `percpu: Embedded ${unit / 4096} pages/cpu s${staticBytes} r8192 d${dynamic} u${unit}`,
    `pcpu-alloc: s${staticBytes} r8192 d${dynamic} u${unit} alloc=${unit / 4096}*4096`,
    "pcpu-alloc: [0] 0 1 2 3",
    "On node 0, zone DMA: 1 pages in unavailable ranges",
    "On node 0, zone DMA: 97 pages in unavailable ranges",
    "Fallback order for Node 0: 0",
    "Built 1 zonelists, mobility grouping on.  Total pages: 65438",
    `Memory: ${presentKib - reservedKib}K/${presentKib}K available (${imageKib}K kernel data, ${(4 * unit) / 1024}K percpu, ` +
      `4096K mem_map, ${reservedKib}K reserved, 0K cma-reserved)`,
  ]);
  expect(mm.populated.length).toBe(2);
});

test("nodes, a movable zone and a node without memory are named", () => {
  const { log } = bootOnly({
    cpus: 3,
    nodes: 3,
    housekeepingCpus: 1,
    memoryMap: [
      { startBytes: 0, sizeBytes: 64 * MIB, node: 0 },
      { startBytes: 4 * GIB, sizeBytes: 64 * MIB, node: 2 },
    ],
    movablecoreBytes: 16 * MIB,
  });
  const lines = texts(log.lines);
  expect(lines).toEqual(
    expect.arrayContaining([
      "SRAT: PXM 1 -> APIC 0x01 -> Node 1",
      "SRAT: PXM 0 -> APIC 0x03 -> Node 0",
      "ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x03ffffff]",
      "ACPI: SRAT: Node 2 PXM 2 [mem 0x100000000-0x103ffffff]",
      "NUMA: Initialized distance table, cnt=3",
      "  Normal   [mem 0x0000000100000000-0x0000000103ffffff]",
      "  Node 2: 0x0000000103000000",
      "Initializing node 1 as memoryless",
      "Fallback order for Node 1: 2 0",
      "Built 3 zonelists, mobility grouping on.  Total pages: 32767",
    ]),
  );
});

test("x86-32 names HighMem and no DMA32", () => {
  const lines = texts(bootOnly({ cpus: 1, memoryBytes: GIB, zones: "x86-32" }).log.lines);
  const zones = lines.slice(
    lines.indexOf("Zone ranges:") + 1,
    lines.indexOf("Movable zone start for each node"),
  );
  expect(zones.map((line) => line.trim().split(" ")[0])).toEqual(["DMA", "Normal", "HighMem"]);
});

test("a machine without limits below has one zone", () => {
  const zones = { dmaBytes: 0, dma32Bytes: 0, lowmemBytes: Number.POSITIVE_INFINITY };
  const lines = texts(bootOnly({ cpus: 1, memoryBytes: 4 * MIB, zones }).log.lines);
  expect(
    lines.slice(lines.indexOf("Zone ranges:") + 1, lines.indexOf("Movable zone start for each node")),
  ).toEqual(["  Normal   [mem 0x0000000000001000-0x00000000003fffff]"]);
});

test("nothing is named that does not exist", () => {
  expect(bootOnly({ cpus: 1, memoryBytes: GIB }).log.lines.join("\n")).not.toMatch(/SLUB|rcu|Policy/i);
});

test("time stamps ascend and repeat", () => {
  const stamps = () =>
    bootOnly({ cpus: 2, memoryBytes: 64 * MIB }).log.lines.map((line) => line.slice(0, 14));
  const first = stamps();
  expect(first).toEqual([...first].sort());
  expect(stamps()).toEqual(first);
  expect(first[0]).toBe("[    0.000000]");
});
