/**
 * Which node each piece of RAM's addresses is on, as the model of simulated time sees it.
 *
 * Page structures that lie in a window beyond memory stand for frames of their own node (see mm/boot/mem-map): so a
 * page's structure is on the page's node.
 */

import type { Topology } from "../hardware/topology.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { PAGE_STRUCT_BYTES } from "../mm/boot/mem-map.ts";
import { planMemory } from "../mm/boot/mm-image.ts";
import { NODE_CHUNK_BYTES } from "../schedule/virtual/misses.ts";

/** One byte for each chunk of RAM: its node; of a chunk with several, the last. */
export function memoryNodes(topology: Topology): SharedArrayBuffer {
  const { memMap } = planMemory(topology);
  const table = new SharedArrayBuffer(Math.ceil(memMap.ramBytes / NODE_CHUNK_BYTES));
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
