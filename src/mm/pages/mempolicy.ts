/**
 * Memory policies: from which node a task's pages come.
 *
 * A policy is a small structure that whoever makes it keeps in RAM; a task points to the one that it uses, or to none,
 * which means its own node first.  Only the task itself reads and writes its words, so no lock guards them.
 *
 * Linux: mm/mempolicy.c mpol_new, do_set_mempolicy, policy_nodemask, interleave_nodes, alloc_pages_mpol,
 * alloc_pages_bulk_interleave.  Differs: no policies of address ranges, no cpusets, no weights; a policy is not counted,
 * so its memory must outlive its use; allocPages of the page allocator itself knows no policy.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Errno } from "../../memory/errno.ts";
import type { Memory } from "../../memory/memory.ts";
import { struct, word, wordsIn } from "../../memory/struct.ts";
import { NULL, type Pfn, type Pointer } from "../../memory/units.ts";
import { Task } from "../../sync/task.ts";
import { NumaStat } from "./counters.ts";
import { GfpFlag, gfpZone } from "./gfp.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { Zone } from "./zone.ts";
import { ZoneIndex } from "./zone-index.ts";

const { THISNODE, NOWARN, DIRECT_RECLAIM, NOFAIL } = GfpFlag;
const task = Task;

/** Linux: include/uapi/linux/mempolicy.h MPOL_*. */
export const PolicyMode = {
  /** One node first, then as if there were no policy. */
  PREFERRED: 1,
  /** Only these nodes, the nearest first. */
  BIND: 2,
  /** These nodes in turn. */
  INTERLEAVE: 3,
  /** The node on which the task runs first. */
  LOCAL: 4,
  /** These nodes first, the nearest of them before all. */
  PREFERRED_MANY: 5,
} as const;

export const Mempolicy = struct("mempolicy", {
  /** PolicyMode. */
  mode: word("owner-cpu"),
  /** A bit each node. */
  nodes: word("owner-cpu", "flags"),
});
export const MEMPOLICY_WORDS = wordsIn(Mempolicy);
const policyField = Mempolicy;

const ALL_NODES = -1;
/** Before the first node: the next one in turn is the first. */
const BEFORE_FIRST = 31;

export class Mempolicies {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly pages: PageAllocator;
  private readonly localNode: number;
  /** Nodes that have memory.  Linux: node_states[N_MEMORY]. */
  readonly nodesWithMemory: number;
  /** Requests for lower zones than this ignore BIND: those may be on one node only.  Linux: policy_zone. */
  private readonly lowestZone: number;

  constructor(cpu: Cpu, pages: PageAllocator, localNode: number) {
    const { memory } = cpu;
    this.cpu = cpu;
    this.memory = memory;
    this.pages = pages;
    this.localNode = localNode;
    let nodes = 0;
    let highest = 0;
    for (const zone of pages.frames.populatedZones()) {
      nodes |= 1 << memory.read(zone + Zone.node);
      const index = memory.read(zone + Zone.index);
      if (index < ZoneIndex.MOVABLE) highest = Math.max(highest, index);
    }
    this.nodesWithMemory = nodes;
    this.lowestZone = highest;
  }

  /**
   * Writes a policy at `policy`; 0, or -EINVAL when the mode cannot be with these nodes.  Nodes without memory do not
   * count.  Linux: mpol_new, mpol_set_nodemask.
   */
  format(policy: Pointer, mode: number, nodes: number): number {
    const usable = nodes & this.nodesWithMemory;
    // A preferred node that is none means the local one.
    const isLocal = mode === PolicyMode.LOCAL || (mode === PolicyMode.PREFERRED && nodes === 0);
    if (isLocal ? nodes !== 0 : usable === 0) return -Errno.EINVAL;
    if (mode < PolicyMode.PREFERRED || mode > PolicyMode.PREFERRED_MANY) return -Errno.EINVAL;
    this.memory.write(policy + policyField.mode, isLocal ? PolicyMode.LOCAL : mode);
    this.memory.write(policy + policyField.nodes, usable);
    return 0;
  }

  /** The current task's pages come by `policy` from now on; NULL for none.  Linux: do_set_mempolicy. */
  use(policy: Pointer): void {
    const { current } = this.cpu;
    this.memory.write(current + task.mempolicy, policy);
    this.memory.write(current + task.interleavePrevious, BEFORE_FIRST);
  }

  /** 2^order frames by the current task's policy, or 0.  Linux: alloc_pages, alloc_pages_mpol. */
  allocPages(gfp: number, order: number): Pfn {
    const { memory, pages, localNode } = this;
    const policy = this.policyFor(gfp);
    if (policy === NULL) return pages.allocPages(gfp, order);
    const nodes = memory.read(policy + policyField.nodes);
    switch (memory.read(policy + policyField.mode)) {
      case PolicyMode.PREFERRED:
        return pages.allocPagesNode(firstNode(nodes), gfp, order);
      case PolicyMode.BIND:
        return pages.allocPagesMask(gfp, order, localNode, this.maskFor(gfp, nodes));
      case PolicyMode.INTERLEAVE:
        return this.allocInterleaved(gfp, order, nodes);
      case PolicyMode.PREFERRED_MANY:
        return this.allocPreferred(gfp, order, nodes);
      default:
        return pages.allocPages(gfp, order);
    }
  }

  /**
   * Appends up to `count` single frames to `into`; returns how many.  With INTERLEAVE each node gives its share at once,
   * the first in turn one more if they do not come out even.  Linux: alloc_pages_bulk_mempolicy.
   */
  allocPagesBulk(gfp: number, count: number, into: Pfn[]): number {
    const { memory, pages } = this;
    const policy = this.policyFor(gfp);
    if (policy === NULL) return pages.allocPagesBulk(gfp, count, into);
    const nodes = memory.read(policy + policyField.nodes);
    const mode = memory.read(policy + policyField.mode);
    if (mode === PolicyMode.LOCAL) return pages.allocPagesBulk(gfp, count, into);
    if (mode === PolicyMode.PREFERRED) return pages.allocPagesBulk(gfp, count, into, firstNode(nodes));
    if (mode === PolicyMode.INTERLEAVE) return this.allocBulkInterleaved(gfp, count, into, nodes);
    const pfn = this.allocPages(gfp, 0);
    if (pfn === 0) return 0;
    into.push(pfn);
    return 1;
  }

  /** The current task's policy; none in interrupts and where the request says its node.  Linux: get_task_policy. */
  private policyFor(gfp: number): Pointer {
    const { current } = this.cpu;
    if (current === NULL || this.cpu.inInterrupt || (gfp & THISNODE) !== 0) return NULL;
    return this.memory.read(current + task.mempolicy);
  }

  /** Linux: apply_policy_zone. */
  private maskFor(gfp: number, nodes: number): number {
    return gfpZone(gfp) >= this.lowestZone ? nodes : ALL_NODES;
  }

  private allocInterleaved(gfp: number, order: number, nodes: number): Pfn {
    const { pages } = this;
    const { frames, vmstat } = pages;
    const node = this.nextInterleaved(nodes);
    const pfn = pages.allocPagesNode(node, gfp, order);
    if (pfn !== 0) {
      const page = frames.pageOf(pfn);
      if (frames.nodeOf(page) === node) vmstat.countNuma(frames.zoneOf(page), NumaStat.numa_interleave);
    }
    return pfn;
  }

  private allocBulkInterleaved(gfp: number, count: number, into: Pfn[], nodes: number): number {
    const parts = countNodes(nodes);
    const each = Math.floor(count / parts);
    let taken = 0;
    for (let part = 0; part < parts; part++) {
      const share = each + (part < count % parts ? 1 : 0);
      taken += this.pages.allocPagesBulk(gfp, share, into, this.nextInterleaved(nodes));
    }
    return taken;
  }

  /** The preferred nodes without waiting, then any.  Linux: alloc_pages_preferred_many. */
  private allocPreferred(gfp: number, order: number, nodes: number): Pfn {
    const { pages, localNode } = this;
    const lightly = (gfp | NOWARN) & ~(DIRECT_RECLAIM | NOFAIL);
    const pfn = pages.allocPagesMask(lightly, order, localNode, this.maskFor(gfp, nodes));
    return pfn !== 0 ? pfn : pages.allocPagesNode(localNode, gfp, order);
  }

  /** Linux: interleave_nodes. */
  private nextInterleaved(nodes: number): number {
    const at = this.cpu.current + task.interleavePrevious;
    const node = nodeAfter(this.memory.read(at), nodes);
    this.memory.write(at, node);
    return node;
  }
}

const firstNode = (nodes: number): number => 31 - Math.clz32(nodes & -nodes);

/** Linux: next_node_in. */
function nodeAfter(node: number, nodes: number): number {
  const above = node >= 31 ? 0 : nodes & (ALL_NODES << (node + 1));
  return firstNode(above !== 0 ? above : nodes);
}

function countNodes(nodes: number): number {
  let count = 0;
  for (let rest = nodes; rest !== 0; rest &= rest - 1) count++;
  return count;
}
