/** Each report on machines of several shapes: what it counts, and what it leaves out. */

import { describe, expect, test } from "vitest";
import type { TopologyConfig } from "../../../src/hardware/topology.ts";
import { Vector } from "../../../src/hardware/vectors.ts";
import { renderReport } from "../../../src/machine/inspect.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { FreeArea } from "../../../src/mm/pages/free-area.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { ZoneIndex } from "../../../src/mm/pages/zone-index.ts";
import { buddyinfo } from "../../../src/procfs/buddyinfo.ts";
import { coreLatency } from "../../../src/procfs/core-latency.ts";
import { interrupts } from "../../../src/procfs/interrupts.ts";
import { lockStat } from "../../../src/procfs/lock-stat.ts";
import { meminfo } from "../../../src/procfs/meminfo.ts";
import { numactl } from "../../../src/procfs/numactl.ts";
import { pagetypeinfo } from "../../../src/procfs/pagetypeinfo.ts";
import { procNames, REPORTS, reportNamed } from "../../../src/procfs/reports.ts";
import { vmstat } from "../../../src/procfs/vmstat.ts";
import { zoneinfo } from "../../../src/procfs/zoneinfo.ts";
import { SpinLock } from "../../../src/sync/spinlock-layout.ts";
import * as grammar from "../../support/proc-grammar.ts";
import { procSource } from "../../support/proc-source.ts";

const MIB = 2 ** 20;
const small: TopologyConfig = { cpus: 2, memoryBytes: 64 * MIB };
const twoNodes: TopologyConfig = { cpus: 4, nodes: 2, memoryBytes: 128 * MIB };

describe("zones", () => {
  const namesIn = (config: TopologyConfig): string[] =>
    grammar.parseZoneinfo(zoneinfo(procSource(config))).map(({ zone }) => zone);

  test("are those of the machine's kind of kernel, with memory or without", () => {
    expect(namesIn(small)).toEqual(["DMA", "DMA32", "Normal", "Movable"]);
    expect(namesIn({ ...small, zones: "x86-32" })).toEqual(["DMA", "Normal", "HighMem", "Movable"]);
    const without = { dmaBytes: 0, dma32Bytes: 0, lowmemBytes: Number.POSITIVE_INFINITY };
    expect(namesIn({ ...small, zones: without })).toEqual(["Normal", "Movable"]);
  });

  test("that are empty show sizes and protection alone; the others a protection against each zone", () => {
    const zones = grammar.parseZoneinfo(zoneinfo(procSource(small)));
    const [dma, , normal] = zones;
    expect(normal).toMatchObject({ free: 0, protection: [0, 0, 0, 0], startPfn: null });
    expect(normal.sizes.get("spanned")).toBe(0);
    expect(dma.startPfn).toBe(1);
    expect(dma.pagesets.map(({ cpu }) => cpu)).toEqual([0, 1]);
    expect(dma.protection[1]).toBeGreaterThan(0);
  });

  test("events are counted by zone where there is one", () => {
    const keys = (config: TopologyConfig): string[] => [
      ...grammar.parseVmstat(vmstat(procSource(config))).keys(),
    ];
    const events = (config: TopologyConfig): string[] =>
      keys(config).filter((key) => key.startsWith("pgalloc"));
    expect(events(small)).toEqual(["pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable"]);
    expect(events({ ...small, zones: "x86-32" })).toEqual([
      "pgalloc_dma",
      "pgalloc_normal",
      "pgalloc_high",
      "pgalloc_movable",
    ]);
  });
});

describe("zoneinfo", () => {
  test("shows marks with their boost, and a node that kswapd has given up", () => {
    const source = procSource(small);
    const { memory } = source.booted;
    const { frames } = source.pages;
    const dma = frames.zoneAt(0, ZoneIndex.DMA);
    const before = grammar.parseZoneinfo(zoneinfo(source))[0];
    memory.write(dma + Zone.watermarkBoost, 7);
    memory.write(frames.nodeAt(0) + Node.kswapdFailures, 15);
    const after = grammar.parseZoneinfo(zoneinfo(source))[0];
    expect(after.sizes.get("boost")).toBe(7);
    for (const mark of ["min", "low", "high", "promo"]) {
      expect(after.sizes.get(mark)).toBe((before.sizes.get(mark) ?? 0) + 7);
    }
    expect(zoneinfo(source)).toContain("  node_unreclaimable:  0\n");
    memory.write(frames.nodeAt(0) + Node.kswapdFailures, 16);
    expect(zoneinfo(source)).toContain("  node_unreclaimable:  1\n");
  });
});

describe("pagetypeinfo", () => {
  test("a free list of more than 100000 blocks is cut", () => {
    const source = procSource(small);
    const { memory } = source.booted;
    const { frames } = source.pages;
    const head = frames.zoneAt(0, ZoneIndex.DMA) + Zone.freeArea + FreeArea.lists + 2 * MigrateType.UNMOVABLE;
    // A list that never comes back to its head.
    memory.write(head, head + 2);
    memory.write(head + 2, head + 2);
    const [row] = grammar.parsePagetypeinfo(pagetypeinfo(source))[0].free;
    expect(row).toMatchObject({ zone: "DMA", type: "Unmovable", isCut: true });
    expect(row.counts[0]).toBe(100_000);
    expect(pagetypeinfo(source)).toMatch(/zone {6}DMA, type {4}Unmovable >100000 {6}0 /);
  });

  test("pageblocks in holes are not counted, blocks with some memory are", () => {
    const at = (startMib: number, sizeMib: number) => ({
      startBytes: startMib * MIB,
      sizeBytes: sizeMib * MIB,
      node: 0,
    });
    const source = procSource({ cpus: 1, memoryMap: [at(0, 31), at(41, 23)] });
    const [{ blocks }] = grammar.parsePagetypeinfo(pagetypeinfo(source));
    const counted = blocks.map(({ zone, counts }) => [zone, counts.reduce((a, b) => a + b, 0)]);
    // 0-16 MiB; 16-31 and 41-64 MiB in blocks of 2 MiB, the last of the one and the first of the other half empty.
    expect(counted).toEqual([
      ["DMA", 8],
      ["DMA32", 8 + 12],
    ]);
  });

  test("there is a table for each node with memory, and none for one without", () => {
    const source = procSource({
      cpus: 2,
      nodes: 2,
      memoryMap: [{ startBytes: 0, sizeBytes: 64 * MIB, node: 1 }],
    });
    const nodes = grammar.parsePagetypeinfo(pagetypeinfo(source));
    expect(nodes.map(({ free }) => free[0].node)).toEqual([1]);
    expect(numactl(source)).toMatch(/^node 0 size: 0 MB\nnode 0 free: 0 MB$/m);
  });
});

describe("meminfo", () => {
  const kilobytes = (source: ReturnType<typeof procSource>, key: string): number =>
    grammar.parseMeminfo(meminfo(source)).get(key)?.kilobytes ?? Number.NaN;

  test("what is available is free memory above the reserves, and never less than nothing", () => {
    const source = procSource(small);
    const pages = source.booted.allocators[0];
    expect(kilobytes(source, "MemFree")).toBe(kilobytes(source, "MemTotal"));
    expect(kilobytes(source, "MemAvailable")).toBeLessThan(kilobytes(source, "MemFree"));
    while (pages.allocPages(Gfp.ATOMIC | Gfp.KERNEL, 0) !== 0) {}
    pages.updateVmstat();
    expect(kilobytes(source, "MemAvailable")).toBe(0);
    expect(kilobytes(source, "MemFree")).toBeGreaterThan(0);
  });

  test("per-CPU memory is whole pages of every unit", () => {
    const of = (cpus: number): number => kilobytes(procSource({ ...small, cpus }), "Percpu");
    const record = procSource(small).record;
    const unit = (record.perCpuWords + record.reservedWords + record.dynamicWords) / 256;
    expect(of(2)).toBe(2 * unit);
    expect(of(4) % 16).toBe(0);
  });

  test("high and low memory add up", () => {
    const source = procSource({ cpus: 1, memoryBytes: 1024 * MIB, zones: "x86-32" });
    const of = (key: string): number => kilobytes(source, key);
    expect(of("HighTotal")).toBe(128 * 1024);
    expect(of("HighTotal") + of("LowTotal")).toBe(of("MemTotal"));
    expect(of("HighFree") + of("LowFree")).toBe(of("MemFree"));
    const movable = procSource({
      cpus: 1,
      memoryBytes: 1024 * MIB,
      zones: "x86-32",
      movablecoreBytes: 64 * MIB,
    });
    expect(kilobytes(movable, "HighTotal")).toBe(128 * 1024);
  });
});

test("buddyinfo follows an allocation and its free", () => {
  const source = procSource(small);
  const pages = source.booted.allocators[0];
  const free = (): number[] =>
    grammar.parseBuddyinfo(buddyinfo(source)).map(({ counts }) => {
      return counts.reduce((sum, blocks, order) => sum + blocks * 2 ** order, 0);
    });
  const [dma, dma32] = free();
  const pfn = pages.allocPages(Gfp.KERNEL, 5);
  expect(free()).toEqual([dma, dma32 - 32]);
  pages.freePages(pfn, 5);
  expect(free()).toEqual([dma, dma32]);
});

test("interrupts are counted by the CPU that takes them", () => {
  const source = procSource(small);
  const [, second] = source.booted.cpus;
  second.onInterrupt(Vector.RESCHEDULE, () => {});
  for (let i = 0; i < 3; i++) {
    source.cpu.sendInterrupt(1, Vector.RESCHEDULE);
    second.poll();
  }
  const { rows } = grammar.parseInterrupts(interrupts(source));
  expect(rows.find(({ label }) => label === "RES")?.counts).toEqual([0, 3]);
});

describe("lock_stat", () => {
  test("shows what is measured, and a dash where nothing is", () => {
    const source = procSource(small);
    const { memory, locks } = source.booted;
    const zone = source.pages.frames.zoneAt(0, ZoneIndex.DMA) + Zone.lock;
    for (const spin of locks) spin.stats.reset();
    locks[1].lock(zone);
    locks[1].unlock(zone);
    const wait = locks[0].stats.waitBegins(zone, zone + SpinLock.classId);
    locks[0].stats.waitEnds(wait);
    locks[0].lock(zone);
    locks[0].unlock(zone);
    const row = grammar.parseLockStat(lockStat(source)).get("&zone->lock");
    expect(row?.get("acquisitions")).toBe(2);
    expect(row?.get("contentions")).toBe(1);
    expect(row?.get("waittime-total")).toBe(row?.get("waittime-max"));
    for (const column of ["con-bounces", "acq-bounces", "holdtime-min", "holdtime-total", "holdtime-avg"]) {
      expect(row?.get(column)).toBe(null);
    }
    expect(memory.read(zone)).toBe(0);
  });

  test("the most contended class comes first", () => {
    const source = procSource(small);
    const { locks } = source.booted;
    const zone = source.pages.frames.zoneAt(0, ZoneIndex.DMA);
    const pcp = source.booted.memory.read(zone + Zone.pageset);
    for (const spin of locks) spin.stats.reset();
    for (const lock of [zone + Zone.lock, zone + Zone.lock, pcp]) {
      locks[0].lock(lock);
      locks[0].unlock(lock);
    }
    locks[0].stats.waitEnds(locks[0].stats.waitBegins(pcp, pcp + SpinLock.classId));
    expect([...grammar.parseLockStat(lockStat(source)).keys()]).toEqual(["&pcp->lock", "&zone->lock"]);
  });
});

test("numactl names nodes, CPUs, memory and distances", () => {
  const distances = [
    [10, 21],
    [21, 10],
  ];
  const text = numactl(procSource({ ...twoNodes, distances }));
  expect(text).toMatch(
    /^available: 2 nodes \(0-1\)\nnode 0 cpus: 0 1\nnode 0 size: \d+ MB\nnode 0 free: \d+ MB\nnode 1 cpus: 2 3\n/,
  );
  expect(text).toMatch(/\nnode distances:\nnode {3}0 {3}1 \n {2}0: {2}10 {2}21 \n {2}1: {2}21 {2}10 \n$/);
  expect(numactl(procSource(small))).toMatch(/^available: 1 nodes \(0\)\nnode 0 cpus: 0 1\n/);
});

describe("core latency", () => {
  test("is a matrix, from the row's CPU to the column's", () => {
    expect(coreLatency([{ latencyNs: [0, 61.25] }, { latencyNs: [1234.5, 0] }])).toBe(
      "Core-to-core latency, one way (ns)\n" +
        "            CPU0    CPU1\n" +
        "    CPU0       -    61.3\n" +
        "    CPU1  1234.5       -\n",
    );
  });

  test("columns stay apart, however slow a pair is", () => {
    const [, , row] = coreLatency([{ latencyNs: [0, 1234567.25] }, { latencyNs: [9, 0] }]).split("\n");
    expect(row).toBe("       CPU0          -  1234567.3");
  });

  test("a row that does not fit is a bug", () => {
    expect(() => coreLatency([{ latencyNs: [0] }, null])).toThrow(
      "core latency: cpu 0 measured [0], expected 2 figures",
    );
    expect(() => coreLatency([null])).toThrow("cpu 0 measured undefined, expected 1 figures");
  });
});

describe("the registry", () => {
  test("knows reports by name, and by the file's name", () => {
    expect(reportNamed("/proc/meminfo")).toBe(reportNamed("meminfo"));
    expect(procNames()).toEqual(Object.keys(REPORTS));
  });

  test("a measured report cannot be made of a kernel", () => {
    expect(() => renderReport({} as Kernel, "core-latency")).toThrow(
      "report core-latency is made of what workload core-latency measures",
    );
  });

  test.each(["slubinfo", "toString", "/proc/", "sys/kernel", "sys/kernel/slabs/x"])(
    "%s is refused with what is there",
    (name) => {
      expect(() => reportNamed(name)).toThrow(
        `proc: there is no report "${name}"; valid are buddyinfo, pagetypeinfo, `,
      );
    },
  );
});
