import { describe, expect, test } from "vitest";
import { topologyOf } from "../../../src/hardware/topology.ts";
import { nodeOrders } from "../../../src/mm/boot/zonelists.ts";
import { Node, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../../../src/mm/pages/node.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { ZONE_NAMES } from "../../../src/mm/pages/zone-index.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function orders(distances: number[][], options: { cpuNodes?: number[]; empty?: number[] } = {}): number[][] {
  const nodes = distances.length;
  const topology = topologyOf({
    cpus: options.cpuNodes?.length ?? nodes,
    nodes,
    memoryBytes: 64 * MIB,
    distances,
    cpuNodes: options.cpuNodes,
  });
  return nodeOrders(
    topology,
    distances.map((_, node) => !(options.empty ?? []).includes(node)),
  );
}

describe("the order of nodes", () => {
  test("is by distance", () => {
    const far = [
      [10, 12, 30],
      [12, 10, 20],
      [30, 20, 10],
    ];
    expect(orders(far)).toEqual([
      [0, 1, 2],
      [1, 0, 2],
      [2, 1, 0],
    ]);
  });
  test("among equals begins with the next node, and spreads the first choices", () => {
    const equal = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => (i === j ? 10 : 20)));
    expect(orders(equal)).toEqual([
      [0, 1, 2, 3],
      [1, 2, 3, 0],
      [2, 3, 0, 1],
      [3, 0, 1, 2],
    ]);
  });
  test("prefers a node without CPUs of its own", () => {
    const equal = [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === j ? 10 : 20)));
    expect(orders(equal, { cpuNodes: [0, 0, 1] })[0]).toEqual([0, 2, 1]);
  });
  test("leaves out nodes without memory, whose own CPUs go elsewhere", () => {
    const equal = [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === j ? 10 : 20)));
    expect(orders(equal, { empty: [1] })).toEqual([
      [0, 2],
      [2, 0],
      [2, 0],
    ]);
  });
});

test("zonelists go through each node from its highest zone down", () => {
  const booted = bootOnly({
    cpus: 2,
    nodes: 2,
    memoryMap: [
      { startBytes: 0, sizeBytes: 64 * MIB, node: 0 },
      { startBytes: 4 * GIB, sizeBytes: 64 * MIB, node: 0 },
      { startBytes: 4 * GIB + 64 * MIB, sizeBytes: 64 * MIB, node: 1 },
    ],
  });
  expect(listOf(booted, 0, Node.fallback)).toEqual(["0 Normal", "0 DMA32", "0 DMA", "1 Normal"]);
  expect(listOf(booted, 1, Node.fallback)).toEqual(["1 Normal", "0 Normal", "0 DMA32", "0 DMA"]);
  expect(listOf(booted, 0, Node.noFallback)).toEqual(["0 Normal", "0 DMA32", "0 DMA"]);
  expect(listOf(booted, 1, Node.noFallback)).toEqual(["1 Normal"]);
});

test("a node without memory has an empty list of its own", () => {
  const booted = bootOnly({
    cpus: 2,
    nodes: 2,
    memoryMap: [{ startBytes: 0, sizeBytes: 8 * MIB, node: 1 }],
  });
  expect(listOf(booted, 0, Node.fallback)).toEqual(["1 DMA"]);
  expect(listOf(booted, 0, Node.noFallback)).toEqual([]);
});

/** `node zone` of each entry, as the zones themselves say. */
function listOf(booted: Booted, node: number, list: number): string[] {
  const { memory, mm } = booted;
  const entries: string[] = [];
  for (let at = mm.nodes.at(node) + list; ; at += ZONELIST_ENTRY_WORDS) {
    const zone = memory.read(at + ZonelistEntry.zone);
    if (zone === 0) return entries;
    expect(memory.read(at + ZonelistEntry.zoneIndex)).toBe(memory.read(zone + Zone.index));
    entries.push(`${memory.read(zone + Zone.node)} ${ZONE_NAMES[memory.read(zone + Zone.index)]}`);
  }
}
