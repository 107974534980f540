import { describe, expect, test } from "vitest";
import {
  type Topology,
  type TopologyConfig,
  topologyOf,
  ZONE_PRESETS,
} from "../../../src/hardware/topology.ts";
import { UsageError } from "../../../src/memory/bug.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const pfn = (bytes: number) => bytes / 4096;
const base: TopologyConfig = { cpus: 4, memoryBytes: 64 * MIB };

describe("a machine described by its CPUs and its memory alone", () => {
  const topology = topologyOf(base);
  test("has one node, one socket, one cluster", () => {
    expect(topology).toMatchObject({ nodes: 1, sockets: 1, possibleCpus: 4, housekeepingCpus: 0 });
    expect(topology.cpuNode).toEqual([0, 0, 0, 0]);
    expect(topology.cpuCluster).toEqual([0, 0, 0, 0]);
    expect(topology.nodeCpus).toEqual([[0, 1, 2, 3]]);
    expect(topology.distances).toEqual([[10]]);
    expect(topology.zones).toEqual(ZONE_PRESETS["x86-64"]);
    expect(topology.cacheSliceBytes).toBe(8 * MIB);
  });
  test("has its memory from 0", () => {
    expect(topology.memory).toEqual([{ startPfn: 0, endPfn: pfn(64 * MIB), node: 0 }]);
    expect([topology.presentPages, topology.maxPfn]).toEqual([pfn(64 * MIB), pfn(64 * MIB)]);
  });
});

describe("CPUs", () => {
  test("go to nodes in equal blocks, housekeeping ones in turn", () => {
    const topology = topologyOf({ ...base, cpus: 6, nodes: 2, housekeepingCpus: 3 });
    expect(topology.cpuNode).toEqual([0, 0, 0, 1, 1, 1, 0, 1, 0]);
    expect(topology.nodeCpus).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
  test("go where the configuration says", () => {
    const topology = topologyOf({ ...base, nodes: 2, cpuNodes: [1, 0, 1, 1] });
    expect(topology.nodeCpus).toEqual([[1], [0, 2, 3]]);
  });
  test("share caches in clusters that no node border crosses", () => {
    const topology = topologyOf({ ...base, cpus: 6, nodes: 2, clusterCpus: 2, housekeepingCpus: 2 });
    expect(topology.cpuCluster).toEqual([0, 0, 1, 2, 2, 3, 0, 2]);
  });
  test("of several sockets have the nodes of each socket together", () => {
    const topology = topologyOf({ ...base, sockets: 2, nodes: 4 });
    expect(topology.nodeSocket).toEqual([0, 0, 1, 1]);
    expect(topologyOf({ ...base, sockets: 2 }).nodes).toBe(2);
  });
});

describe("memory", () => {
  const rangesOf = (topology: Topology) => topology.memory.map((r) => [r.startPfn, r.endPfn, r.node]);

  test("is split over nodes where the largest block may begin", () => {
    const topology = topologyOf({ ...base, nodes: 3 });
    expect(rangesOf(topology)).toEqual([
      [0, pfn(20 * MIB), 0],
      [pfn(20 * MIB), pfn(40 * MIB), 1],
      [pfn(40 * MIB), pfn(64 * MIB), 2],
    ]);
  });
  test("of a small machine is split at pages", () => {
    expect(rangesOf(topologyOf({ cpus: 1, nodes: 2, memoryBytes: 2 * MIB }))).toEqual([
      [0, 256, 0],
      [256, 512, 1],
    ]);
  });
  test("of a PC leaves 3 to 4 GiB to devices, while pointers reach the rest", () => {
    expect(rangesOf(topologyOf({ cpus: 1, nodes: 2, memoryBytes: 5 * GIB }))).toEqual([
      [0, pfn(2.5 * GIB), 0],
      [pfn(2.5 * GIB), pfn(3 * GIB), 1],
      [pfn(4 * GIB), pfn(6 * GIB), 1],
    ]);
    expect(topologyOf({ cpus: 1, memoryBytes: 7 * GIB }).maxPfn).toBe(pfn(8 * GIB));
    expect(rangesOf(topologyOf({ cpus: 1, memoryBytes: 7.5 * GIB }))).toEqual([[0, pfn(7.5 * GIB), 0]]);
    expect(rangesOf(topologyOf({ cpus: 1, memoryBytes: 5 * GIB, firmware: "flat" }))).toEqual([
      [0, pfn(5 * GIB), 0],
    ]);
  });
  test("may be given as ranges in any order, with a node at 4 GiB", () => {
    const topology = topologyOf({
      cpus: 2,
      nodes: 2,
      memoryMap: [
        { startBytes: 4 * GIB, sizeBytes: 64 * MIB, node: 1 },
        { startBytes: 0, sizeBytes: 64 * MIB, node: 0 },
      ],
    });
    expect(rangesOf(topology)).toEqual([
      [0, pfn(64 * MIB), 0],
      [pfn(4 * GIB), pfn(4 * GIB + 64 * MIB), 1],
    ]);
    expect([topology.presentPages, topology.maxPfn]).toEqual([32_768, pfn(4 * GIB + 64 * MIB)]);
    expect(topology.firmware).toBe("flat");
  });
});

test("machines of 64 MiB and more are PCs, smaller ones flat", () => {
  expect(topologyOf(base).firmware).toBe("pc");
  expect(topologyOf({ cpus: 1, memoryBytes: 60 * MIB }).firmware).toBe("flat");
});

test("zone limits and core sizes are configuration", () => {
  const zones = { dmaBytes: MIB, dma32Bytes: 2 * MIB, lowmemBytes: 3 * MIB };
  const topology = topologyOf({ ...base, zones, kernelcoreBytes: 8 * MIB, movablecoreBytes: 4 * MIB });
  expect(topology.zones).toEqual(zones);
  expect([topology.kernelcorePages, topology.movablecorePages]).toEqual([2048, 1024]);
});

describe("a wrong value is the user's error and says what is valid", () => {
  test.each<[Partial<TopologyConfig>, string]>([
    [{ cpus: 0 }, "cpus: 0; valid are 1 to 256"],
    [{ cpus: 2.5 }, "cpus: 2.5; valid are 1 to 256"],
    [{ housekeepingCpus: 253 }, "housekeepingCpus: 253; valid are 0 to 252"],
    [{ sockets: 0 }, "sockets: 0; valid are 1 to 8"],
    [{ nodes: 9 }, "nodes: 9; valid are 1 to 8"],
    [{ sockets: 2, nodes: 3 }, "nodes: 3 cannot be split over 2 sockets; valid are multiples of 2"],
    [{ cpuNodes: [0] }, "cpuNodes: 1 entries; valid is one for each of the 4 CPUs"],
    [{ cpuNodes: [0, 0, 0, 1] }, "cpuNodes[3]: 1; valid is 0"],
    [{ clusterCpus: 5 }, "clusterCpus: 5; valid are 1 to 4"],
    [{ cacheBytes: -1 }, "cacheBytes: -1; valid are 0 to 1073741824"],
    [{ memoryBytes: undefined }, "memoryBytes or memoryMap must be given"],
    [{ memoryBytes: 4096 }, "memoryBytes: 4096; valid are 524288 to 8589934592"],
    [{ memoryBytes: MIB + 1 }, "memoryBytes: 1048577; valid are multiples of 4096"],
    [{ memoryMap: [] }, "memoryMap: empty; valid is one range or more"],
    [{ memoryMap: [range(1, MIB)] }, "memoryMap[0].startBytes: 1; valid are multiples of 4096"],
    [{ memoryMap: [range(0, MIB + 1)] }, "memoryMap[0].sizeBytes: 1048577; valid are multiples of 4096"],
    [{ memoryMap: [range(0, MIB, 1)] }, "memoryMap[0].node: 1; valid is 0"],
    [{ memoryMap: [range(8 * GIB, MIB)] }, "memoryMap[0].startBytes: 8589934592; valid are 0 to 8589930496"],
    [
      { memoryMap: [range(7 * GIB, 2 * GIB)] },
      "memoryMap[0].sizeBytes: 2147483648; valid are 4096 to 1073741824",
    ],
    [
      { memoryMap: [range(0, 2 * MIB), range(MIB, MIB)] },
      "memoryMap: ranges overlap at pfn 256; valid are disjoint ranges of up to 8 GiB",
    ],
    [{ memoryMap: [range(0, 8192)] }, "memoryMap: bytes in all: 8192; valid are 524288 to 8589934592"],
    [{ distances: [[10, 20]] }, "distances: valid is a table of 1 rows of 1 numbers"],
    [{ distances: [[11]] }, "distances[0][0]: 11; valid is 10"],
    [
      {
        nodes: 2,
        distances: [
          [10, 10],
          [10, 10],
        ],
      },
      "distances[0][1]: 10; valid are 11 to 255",
    ],
    [
      {
        nodes: 2,
        distances: [
          [10, 20],
          [30, 10],
        ],
      },
      "distances[0][1] is 20; valid is 30, as in the other direction",
    ],
    [{ zones: "vax" as "x86-32" }, "zones: vax; valid are x86-64, x86-32 or limits in bytes"],
    [
      { zones: { dmaBytes: 2 * MIB, dma32Bytes: MIB, lowmemBytes: GIB } },
      "zones.dma32Bytes: 1048576; valid is 2097152 or more, zones ascend",
    ],
    [
      { zones: { dmaBytes: 1, dma32Bytes: MIB, lowmemBytes: GIB } },
      "zones.dmaBytes: 1; valid are multiples of 4096",
    ],
    [{ kernelcoreBytes: -4096 }, "kernelcoreBytes: -4096; valid are 0 to 8589934592"],
    [{ movablecoreBytes: 1 }, "movablecoreBytes: 1; valid are multiples of 4096"],
  ])("%j", (wrong, message) => {
    const build = () => topologyOf({ ...base, ...wrong });
    expect(build).toThrow(UsageError);
    expect(build).toThrow(message);
  });
});

function range(startBytes: number, sizeBytes: number, node = 0) {
  return { startBytes, sizeBytes, node };
}
