/**
 * Which node each piece of RAM's addresses is on, as the model of simulated time sees it.
 *
 * Page structures that lie in a window beyond memory stand for frames of their own node (see mm/boot/mem-map): so a
 * page's structure is on the page's node.  So do pages of per-CPU chunks (see mm/percpu/percpu-window): a unit is on its
 * CPU's node.
 */

import type { Topology } from "../hardware/topology.ts";
import { wordsIn } from "../memory/struct.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { BOOT_INFO, BootInfo } from "../mm/boot/boot-info.ts";
import { PAGE_STRUCT_BYTES } from "../mm/boot/mem-map.ts";
import { planMemory } from "../mm/boot/mm-image.ts";
import { PerCpuWindow } from "../mm/percpu/percpu-window.ts";
import { NODE_CHUNK_BYTES } from "../schedule/virtual/misses.ts";

/** One byte for each chunk of RAM: its node; of a chunk with several, the last. */
export function memoryNodes(topology: Topology): SharedArrayBuffer {
  const { memMap, ramBytes } = planMemory(topology);
  const table = new SharedArrayBuffer(Math.ceil(ramBytes / NODE_CHUNK_BYTES));
  const nodes = new Uint8Array(table);
  const fill = (start: number, end: number, node: number): void => {
    nodes.fill(node, Math.floor(start / NODE_CHUNK_BYTES), Math.ceil(end / NODE_CHUNK_BYTES));
  };
  for (const { startPfn, endPfn, node } of topology.memory)
    fill(startPfn * PAGE_BYTES, endPfn * PAGE_BYTES, node);
  if (memMap.windowPfn === 0) return table;
  const structures = (pfn: number): number => memMap.windowPfn * PAGE_BYTES + pfn * PAGE_STRUCT_BYTES;
  for (const { startPfn, endPfn, node } of topology.memory)
    fill(structures(startPfn), structures(endPfn), node);
  return table;
}

/** Completes `table` once the machine has booted: only then is it known how far apart the CPUs' units are. */
export function placePerCpuChunks(
  table: SharedArrayBuffer,
  topology: Topology,
  ram: SharedArrayBuffer,
): void {
  if (topology.nodes === 1) return;
  const words = new Int32Array(ram, BOOT_INFO * WORD_BYTES, wordsIn(BootInfo));
  const unitWords =
    words[BootInfo.perCpuWords] + words[BootInfo.reservedWords] + words[BootInfo.dynamicWords];
  const strideWords = words[BootInfo.unitWords];
  const window = new PerCpuWindow(planMemory(topology).perCpuWindow, {
    cpus: topology.possibleCpus,
    unitWords,
    strideWords,
  });
  const nodes = new Uint8Array(table);
  const chunkOf = (word: number): number => (word * WORD_BYTES) / NODE_CHUNK_BYTES;
  for (let area = 0; area < window.areas; area++) {
    for (const [cpu, node] of topology.cpuNode.entries()) {
      const start = window.baseOf(area) + cpu * strideWords;
      nodes.fill(node, Math.floor(chunkOf(start)), Math.ceil(chunkOf(start + unitWords)));
    }
  }
}
