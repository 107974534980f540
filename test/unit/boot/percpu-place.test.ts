import { describe, expect, test } from "vitest";
import type { TopologyConfig } from "../../../src/hardware/topology.ts";
import { checkBoot } from "../../../src/mm/boot/boot-check.ts";
import { planPerCpuChunk } from "../../../src/mm/boot/percpu-chunk.ts";
import { spreadUnits } from "../../../src/mm/boot/percpu-place.ts";
import { checkPages } from "../../../src/mm/pages/check-pages.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const KIB = 1024;
const MIB = 2 ** 20;
const UNIT = 16 * KIB;
/** Places of a unit in [start, end). */
const within = (start: number, end: number) => ({ low: start, high: end - UNIT });

describe("a stride that leads each unit into its node", () => {
  test("is a unit at one border", () => {
    const [a, b] = [within(0, MIB), within(MIB, 2 * MIB)];
    expect(spreadUnits([a, a, b, b], UNIT)).toEqual({ start: MIB - 2 * UNIT, stride: UNIT });
  });
  test("is as short as it can be over several nodes", () => {
    const nodes = [0, 1, 2, 3].map((i) => within(i * MIB, (i + 1) * MIB));
    const spread = spreadUnits(
      nodes.flatMap((node) => [node, node]),
      UNIT,
    )!;
    for (let cpu = 0; cpu < 8; cpu++) {
      const unit = spread.start + cpu * spread.stride;
      expect(Math.floor(unit / MIB)).toBe(cpu >> 1);
      expect(Math.floor((unit + UNIT - 1) / MIB)).toBe(cpu >> 1);
    }
    expect(spread.stride).toBeLessThan(MIB / 2);
  });
  test("does not exist for nodes out of order, too small, or without memory", () => {
    const [a, b] = [within(0, MIB), within(MIB, 2 * MIB)];
    expect(spreadUnits([a, b, a], UNIT)).toBeNull();
    expect(spreadUnits([within(0, UNIT), within(0, UNIT)], UNIT)).toBeNull();
    expect(spreadUnits([a, null], UNIT)).toBeNull();
  });
  test("of two CPUs whose nodes lie far apart is long", () => {
    expect(spreadUnits([within(0, MIB), within(64 * MIB, 65 * MIB)], UNIT)).toEqual({
      start: MIB - UNIT,
      stride: 63 * MIB + UNIT,
    });
  });
});

/** Node of the memory that each CPU's unit lies in. */
function unitNodes({ record, topology, mm }: Booted): (number | undefined)[] {
  const nodeOf = (word: number) =>
    mm.plan.firmware.ranges.find((r) => r.startPfn <= word / 1024 && word / 1024 < r.endPfn)?.node;
  return Array.from({ length: topology.possibleCpus }, (_, cpu) =>
    nodeOf(record.perCpuStart + cpu * record.unitWords),
  );
}

describe("a booted machine has each unit on its CPU's node", () => {
  const split = (start: number, size: number, node: number) => ({ startBytes: start, sizeBytes: size, node });
  test.each<[string, TopologyConfig]>([
    ["two nodes", { cpus: 4, nodes: 2, memoryBytes: 64 * MIB }],
    ["eight nodes", { cpus: 16, nodes: 8, memoryBytes: 256 * MIB }],
    [
      "a node at 4 GiB, one CPU each",
      { cpus: 2, nodes: 2, memoryMap: [split(0, 64 * MIB, 0), split(2 ** 32, 64 * MIB, 1)] },
    ],
    [
      "uneven nodes",
      {
        cpus: 3,
        nodes: 3,
        memoryMap: [split(0, 64 * MIB, 0), split(64 * MIB, 8 * MIB, 1), split(96 * MIB, 64 * MIB, 2)],
      },
    ],
  ])("%s", (_name, config) => {
    const booted = bootOnly(config);
    expect(unitNodes(booted)).toEqual(booted.topology.cpuNode);
    expect(booted.record.unitWords * 4).toBeGreaterThanOrEqual(
      planPerCpuChunk(booted.record.perCpuWords).unitBytes,
    );
    checkBoot(booted.memory, booted.mm);
    const { frames, vmstat } = booted.allocators[0];
    const total = booted.memory.read(booted.mm.globals.address + PageGlobals.totalRamPages);
    expect(checkPages(frames, vmstat)).toBe(total);
  });

  test("and housekeeping CPUs behind the last CPU", () => {
    const booted = bootOnly({ cpus: 4, nodes: 2, housekeepingCpus: 2, memoryBytes: 64 * MIB });
    expect(booted.topology.cpuNode).toEqual([0, 0, 1, 1, 0, 1]);
    expect(unitNodes(booted)).toEqual([0, 0, 1, 1, 1, 1]);
  });

  test("unless their order allows no stride: then all are in one block on the boot CPU's", () => {
    const booted = bootOnly({ cpus: 4, nodes: 2, cpuNodes: [1, 0, 1, 0], memoryBytes: 64 * MIB });
    expect(unitNodes(booted)).toEqual([1, 1, 1, 1]);
    expect(booted.record.unitWords * 4).toBe(planPerCpuChunk(booted.record.perCpuWords).unitBytes);
    expect(booted.log.lines.join("\n")).toContain("pcpu-alloc: [0] 0 1 2 3");
  });
});

test("the log groups CPUs by node", () => {
  const { log } = bootOnly({ cpus: 4, nodes: 2, memoryBytes: 64 * MIB });
  expect(log.lines.join("\n")).toContain("pcpu-alloc: [0] 0 1 [1] 2 3");
});

test("a unit has static, reserved and dynamic parts and fills whole pages", () => {
  expect(planPerCpuChunk(1000)).toEqual({
    staticBytes: 4000,
    reservedBytes: 8192,
    dynamicBytes: 28_768,
    unitBytes: 40_960,
  });
  expect(planPerCpuChunk(1024, 0, 4096)).toEqual({
    staticBytes: 4096,
    reservedBytes: 0,
    dynamicBytes: 4096,
    unitBytes: 8192,
  });
});
