import { expect, test } from "vitest";
import { topologyOf } from "../../../src/hardware/topology.ts";
import { memoryNodes, placePerCpuChunks } from "../../../src/machine/memory-nodes.ts";
import { BOOT_INFO, BootInfo } from "../../../src/mm/boot/boot-info.ts";
import { planMemory } from "../../../src/mm/boot/mm-image.ts";
import { PerCpuWindow } from "../../../src/mm/percpu/percpu-window.ts";
import { NODE_CHUNK_BYTES } from "../../../src/schedule/virtual/misses.ts";

const MIB = 2 ** 20;
const nodesOf = (nodes: number, memoryBytes = 64 * MIB) => {
  const topology = topologyOf({ cpus: 8, nodes, memoryBytes });
  const table = new Uint8Array(memoryNodes(topology));
  const { memMap, ramBytes } = planMemory(topology);
  return {
    at: (byte: number): number => table[Math.floor(byte / NODE_CHUNK_BYTES)],
    /** Of the page structure of the frame at `byte`, if they lie in a window. */
    ofStructure: (byte: number): number =>
      table[Math.floor((memMap.windowPfn * 4096 + (byte / 4096) * 64) / NODE_CHUNK_BYTES)],
    chunks: table.length,
    ramBytes,
  };
};

test("memory is on its node, and so is the structure of each of its pages", () => {
  for (const nodes of [2, 4, 8]) {
    const map = nodesOf(nodes);
    const share = (64 * MIB) / nodes;
    for (let node = 0; node < nodes; node++) {
      for (const byte of [node * share, (node + 0.5) * share, (node + 1) * share - 4096]) {
        expect(map.at(byte), `${nodes} nodes, byte ${byte}`).toBe(node);
        expect(map.ofStructure(byte), `${nodes} nodes, structure of byte ${byte}`).toBe(node);
      }
    }
  }
});

test("one node has all of it, structures included", () => {
  const map = nodesOf(1);
  expect(map.chunks).toBe(Math.ceil(map.ramBytes / NODE_CHUNK_BYTES));
  for (let byte = 0; byte < map.ramBytes; byte += NODE_CHUNK_BYTES) expect(map.at(byte)).toBe(0);
});

test("further per-CPU chunks are on the node of each unit's CPU, once the units' distance is known", () => {
  const topology = topologyOf({ cpus: 8, nodes: 2, memoryBytes: 64 * MIB });
  const { ramBytes, perCpuWindow } = planMemory(topology);
  const ram = new SharedArrayBuffer(ramBytes);
  const record = new Int32Array(ram, BOOT_INFO * 4);
  const [unitWords, strideWords] = [16 * 1024, 128 * 1024];
  record[BootInfo.perCpuWords] = 10_000;
  record[BootInfo.reservedWords] = 2048;
  record[BootInfo.dynamicWords] = unitWords - 12_048;
  record[BootInfo.unitWords] = strideWords;
  const table = memoryNodes(topology);
  placePerCpuChunks(table, topology, ram);
  const window = new PerCpuWindow(perCpuWindow, { cpus: 8, unitWords, strideWords });
  expect(window.areas).toBeGreaterThan(8);
  for (const area of [0, 5, 8, window.areas - 1]) {
    for (let cpu = 0; cpu < 8; cpu++) {
      const byte = (window.baseOf(area) + cpu * strideWords) * 4;
      expect(byte + unitWords * 4).toBeLessThanOrEqual(ramBytes);
      expect(new Uint8Array(table)[byte / NODE_CHUNK_BYTES]).toBe(topology.cpuNode[cpu]);
    }
  }
});
