/**
 * The common store of a maple tree: within one leaf, which keeps its place.  A new leaf takes the old one's slot; no other
 * node changes but in its gaps.
 *
 *   old leaf    | a |  lo  | ...  |  hi  | z |
 *   new leaf    | a |lo' |   entry   |hi'| z |       lo' and hi' are what the range leaves of lo and hi, if anything
 *
 * A range without an entry takes neighbours without one in.  What needs more than that is maple-plan's.
 *
 * Linux: lib/maple_tree.c mas_wr_node_store, mas_wr_extend_null.
 */

import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";
import { MAX_INDEX, MapleInner, MapleLeaf, MapleNode, type NodeRef } from "./maple-node.ts";
import { MapleTree, type MapleTreeRef } from "./maple-readers.ts";
import { endOf, kindOf, LEAF_SLOTS, MapleKind, minSlotsOf, stateOf } from "./maple-state.ts";

const node = MapleNode;
const leaf = MapleLeaf;
const inner = MapleInner;
const { LEAF } = MapleKind;

/** What the store replaces: valid until the tree changes. */
export interface LeafStore {
  readonly tree: MapleTreeRef;
  /** The leaf, the word that names it, and its range. */
  readonly old: NodeRef;
  readonly link: Pointer;
  readonly leafFirst: number;
  readonly leafLast: number;
  /** The slots that the range touches, and the bounds of both together. */
  readonly low: number;
  readonly high: number;
  readonly lowFirst: number;
  readonly highLast: number;
  /** What is stored. */
  readonly first: number;
  readonly last: number;
  readonly entry: Pointer;
}

export class LeafStores {
  declare private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** Null when the store is not of this kind, or changes nothing.  @holds mmap_lock */
  plan(tree: MapleTreeRef, first: number, last: number, entry: Pointer): LeafStore | null {
    const { memory } = this;
    let link = tree + MapleTree.root;
    let old = memory.read(link);
    if (old === 0) return null;
    let [leafFirst, leafLast] = [0, MAX_INDEX];
    while (kindOf(memory.read(old + node.state)) !== LEAF) {
      const slot = this.slotOf(old + inner.pivots, endOf(memory.read(old + node.state)), 0, first);
      if (slot > 0) leafFirst = memory.readFloat64(old + inner.pivots + 2 * (slot - 1)) + 1;
      if (slot < endOf(memory.read(old + node.state)))
        leafLast = memory.readFloat64(old + inner.pivots + 2 * slot);
      link = old + inner.slots + slot;
      old = memory.read(link);
    }
    if (last > leafLast) return null;
    return this.planIn({ tree, old, link, leafFirst, leafLast, first, last, entry });
  }

  /** Writes the new leaf into node `fresh`. */
  write(store: LeafStore, fresh: NodeRef): void {
    const { memory } = this;
    const { old, low, high, first, last } = store;
    const end = endOf(memory.read(old + node.state));
    for (let i = 0; i < low; i++) {
      memory.write(fresh + leaf.slots + i, memory.read(old + leaf.slots + i));
      memory.writeFloat64(fresh + leaf.pivots + 2 * i, memory.readFloat64(old + leaf.pivots + 2 * i));
    }
    let next = low;
    if (store.lowFirst < first) {
      memory.write(fresh + leaf.slots + next, memory.read(old + leaf.slots + low));
      memory.writeFloat64(fresh + leaf.pivots + 2 * next++, first - 1);
    }
    memory.write(fresh + leaf.slots + next, store.entry);
    // A leaf's last slot has no pivot.
    if (last < store.leafLast) memory.writeFloat64(fresh + leaf.pivots + 2 * next, last);
    const rest = last < store.highLast ? high : high + 1;
    for (let i = rest; i <= end; i++) {
      memory.write(fresh + leaf.slots + ++next, memory.read(old + leaf.slots + i));
      if (i < end)
        memory.writeFloat64(fresh + leaf.pivots + 2 * next, memory.readFloat64(old + leaf.pivots + 2 * i));
    }
    memory.write(fresh + node.state, stateOf(LEAF, next));
  }

  private planIn(within: Omit<LeafStore, "low" | "high" | "lowFirst" | "highLast">): LeafStore | null {
    const { memory } = this;
    const { old, leafFirst, leafLast, entry } = within;
    let { first, last } = within;
    const end = endOf(memory.read(old + node.state));
    const isNull = (slot: number): boolean => memory.read(old + leaf.slots + slot) === 0;
    const firstOf = (slot: number): number =>
      slot === 0 ? leafFirst : memory.readFloat64(old + leaf.pivots + 2 * (slot - 1)) + 1;
    const lastOf = (slot: number): number =>
      slot === end ? leafLast : memory.readFloat64(old + leaf.pivots + 2 * slot);
    let low = this.slotOf(old + leaf.pivots, end, 0, first);
    let high = this.slotOf(old + leaf.pivots, end, low, last);
    if (entry === 0) {
      if (!isNull(low) && first === firstOf(low) && low > 0 && isNull(low - 1)) low--;
      if (isNull(low)) first = firstOf(low);
      if (!isNull(high) && last === lastOf(high) && high < end && isNull(high + 1)) high++;
      if (isNull(high)) last = lastOf(high);
      // The next leaf's first range belongs to it.
      if (last === leafLast && leafLast < MAX_INDEX) return null;
    }
    const [lowFirst, highLast] = [firstOf(low), lastOf(high)];
    if (low === high && first === lowFirst && last === highLast && isNull(low) === (entry === 0)) return null;
    const count = low + (lowFirst < first ? 1 : 0) + 1 + (last < highLast ? 1 : 0) + (end - high);
    const isRoot = within.link === within.tree + MapleTree.root;
    if (count > LEAF_SLOTS || (isRoot ? count === 1 && entry === 0 : count < minSlotsOf(LEAF))) return null;
    return { ...within, first, last, low, high, lowFirst, highLast };
  }

  /** The slot of a node, from slot `from` on, in which `index` lies. */
  private slotOf(pivots: Pointer, end: number, from: number, index: number): number {
    let slot = from;
    while (slot < end && index > this.memory.readFloat64(pivots + 2 * slot)) slot++;
    return slot;
  }
}
