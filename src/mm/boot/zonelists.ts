/**
 * Zonelists: where an allocation looks, node by node in order of distance, in each from the highest zone down.
 *
 * Linux: mm/page_alloc.c find_next_best_node, build_zonelists.
 */

import type { Topology } from "../../hardware/topology.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { Node, type NodeRef, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../pages/node.ts";
import type { NodePlan } from "./zone-plan.ts";

const MAX_NUMNODES = 1024;

/**
 * For each node, the nodes with memory in the order in which its allocations try them.  Among equally distant ones the
 * next node comes first, then one without CPUs, then the one that fewer others prefer.
 */
export function nodeOrders(topology: Topology, hasMemory: readonly boolean[]): number[][] {
  const load: number[] = new Array(topology.nodes).fill(0);
  const { distances } = topology;
  return Array.from({ length: topology.nodes }, (_, local) => {
    const order: number[] = [];
    let previous = local;
    for (;;) {
      const node = nextBestNode(topology, { local, used: order, load, hasMemory });
      if (node < 0) return order;
      // Nodes at one distance take turns in being the first choice.
      if (distances[local][node] !== distances[local][previous]) load[node]++;
      order.push(node);
      previous = node;
    }
  });
}

function nextBestNode(
  topology: Topology,
  state: { local: number; used: readonly number[]; load: readonly number[]; hasMemory: readonly boolean[] },
): number {
  const { local, used, load, hasMemory } = state;
  if (hasMemory[local] && !used.includes(local)) return local;
  let best = -1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let node = 0; node < topology.nodes; node++) {
    if (!hasMemory[node] || used.includes(node)) continue;
    const hasCpus = topology.nodeCpus[node].length > 0;
    const distance = topology.distances[local][node] + (node < local ? 1 : 0) + (hasCpus ? 1 : 0);
    const cost = distance * MAX_NUMNODES + load[node];
    if (cost < bestCost) {
      bestCost = cost;
      best = node;
    }
  }
  return best;
}

/** Writes both lists of `node`: over all nodes in `order`, and over its own zones. */
export function writeZonelists(
  memory: Memory,
  node: NodeRef,
  options: {
    id: number;
    order: readonly number[];
    nodes: readonly NodePlan[];
    zoneAt: (node: number, index: number) => Pointer;
  },
): void {
  const { id, order, nodes, zoneAt } = options;
  for (const [list, members] of [
    [node + Node.fallback, order],
    [node + Node.noFallback, [id]],
  ] as const) {
    let at = list;
    for (const member of members) {
      for (const zone of nodes[member].zones.toReversed()) {
        memory.write(at + ZonelistEntry.zone, zoneAt(member, zone.index));
        memory.write(at + ZonelistEntry.zoneIndex, zone.index);
        at += ZONELIST_ENTRY_WORDS;
      }
    }
    memory.write(at + ZonelistEntry.zone, 0);
    memory.write(at + ZonelistEntry.zoneIndex, 0);
  }
}
