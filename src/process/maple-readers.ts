/**
 * Looking things up in a maple tree, without a lock.
 *
 * A reader descends inside an RCU section.  Writers never change a node's ranges: they build new nodes, swing one pointer,
 * mark the old nodes dead and free them after a grace period.  The head of that callback lies over the pivots, so a
 * reader believes what it has read from a node only if the node was alive afterwards; else it begins anew at the root.
 *
 * Linux: lib/maple_tree.c mtree_range_walk, mas_find, mas_empty_area, mas_empty_area_rev, ma_dead_node.
 */

import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { MAX_INDEX, MapleInner, MapleLeaf, MapleNode, type NodeRef } from "./maple-node.ts";
import { endOf, kindOf, MapleKind } from "./maple-state.ts";

/** All zero is an empty tree. */
export const MapleTree = struct("maple_tree", {
  /** 0: no entry anywhere. */
  root: word("rcu:mmap_lock", "pointer:maple_node"),
  pad: word("boot"),
});
/** Word index of a maple_tree. */
export type MapleTreeRef = Pointer;

const tree = MapleTree;
const node = MapleNode;
const leaf = MapleLeaf;
const inner = MapleInner;
const { LEAF, DEAD } = MapleKind;
const RETRY = -1;
/** A reader believes a node that has died. */
const trustsDead = mutant("maple-no-dead-check");

export const slotsOf = (kind: number): number => (kind === LEAF ? leaf.slots : inner.slots);
export const pivotsOf = (kind: number): number => (kind === LEAF ? leaf.pivots : inner.pivots);

export class MapleReaders {
  declare protected readonly memory: Memory;
  /** The range of the slot that was looked at last: of an entry, or between two. */
  first = 0;
  last = 0;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** The entry at `index`, or 0; `first` and `last` say of what range.  Linux: mas_walk.  @rcu read */
  at(at: MapleTreeRef, index: number): Pointer {
    for (;;) {
      const entry = this.descend(at, index);
      if (entry !== RETRY) return entry;
    }
  }

  /** The first entry that ends at `index` or later and begins at `limit` or earlier, or 0.  Linux: mas_find.  @rcu read */
  find(at: MapleTreeRef, index: number, limit = MAX_INDEX): Pointer {
    for (let next = index; next <= limit; next = this.last + 1) {
      const entry = this.at(at, next);
      if (entry !== 0 || this.last === MAX_INDEX) return entry;
    }
    return 0;
  }

  /** The last entry that begins at `index` or earlier and ends at `limit` or later, or 0.  Linux: mas_find_rev.  @rcu read */
  findBack(at: MapleTreeRef, index: number, limit = 0): Pointer {
    for (let next = index; next >= limit; next = this.first - 1) {
      const entry = this.at(at, next);
      if (entry !== 0 || this.first === 0) return entry;
    }
    return 0;
  }

  /**
   * First index of the lowest range of `size` indices without an entry within [min, max], or -1.
   * Linux: mas_empty_area.
   * @holds mmap_lock
   */
  emptyArea(at: MapleTreeRef, min: number, max: number, size: number): number {
    const root = this.memory.load(at + tree.root);
    if (max - min + 1 < size) return -1;
    return root === 0 ? min : this.lowest(root, { first: 0, last: MAX_INDEX }, { min, max, size });
  }

  /** The same of the highest.  Linux: mas_empty_area_rev.  @holds mmap_lock */
  emptyAreaBack(at: MapleTreeRef, min: number, max: number, size: number): number {
    const root = this.memory.load(at + tree.root);
    if (max - min + 1 < size) return -1;
    return root === 0
      ? max - size + 1
      : this.highest(root, { first: 0, last: MAX_INDEX }, { min, max, size });
  }

  /** The longest range without an entry below `at`; after a descent, from the gaps of its own slots. */
  protected longestGap(at: NodeRef, first: number, last: number): number {
    const { memory } = this;
    const state = memory.read(at + node.state);
    const end = endOf(state);
    let longest = 0;
    if (kindOf(state) !== LEAF) {
      for (let i = 0; i <= end; i++) longest = Math.max(longest, memory.readFloat64(at + inner.gaps + 2 * i));
      return longest;
    }
    for (let i = 0, from = first; i <= end; i++) {
      const to = i === end ? last : memory.readFloat64(at + leaf.pivots + 2 * i);
      if (memory.read(at + leaf.slots + i) === 0) longest = Math.max(longest, to - from + 1);
      from = to + 1;
    }
    return longest;
  }

  /** RETRY when a node has died under the reader. */
  private descend(at: MapleTreeRef, index: number): Pointer {
    const { memory } = this;
    let next = memory.load(at + tree.root);
    let first = 0;
    let last = MAX_INDEX;
    while (next !== 0) {
      const state = memory.load(next + node.state);
      const kind = kindOf(state);
      if (kind === DEAD && !trustsDead) return RETRY;
      const end = endOf(state);
      const pivots = next + pivotsOf(kind);
      let slot = 0;
      for (; slot < end; slot++) {
        const pivot = memory.readFloat64(pivots + 2 * slot);
        if (index <= pivot) {
          last = pivot;
          break;
        }
        first = pivot + 1;
      }
      const found = memory.load(next + slotsOf(kind) + slot);
      reached("maple-no-dead-check");
      if (!trustsDead && memory.load(next + node.state) !== state) return RETRY;
      if (kind === LEAF) {
        this.first = first;
        this.last = last;
        return found;
      }
      next = found;
    }
    this.first = first;
    this.last = last;
    return 0;
  }

  private lowest(at: NodeRef, range: Range, wanted: Wanted): number {
    const { memory } = this;
    const state = memory.read(at + node.state);
    const kind = kindOf(state);
    const end = endOf(state);
    for (let i = 0, first = range.first; i <= end && first <= wanted.max; i++) {
      const last = i === end ? range.last : memory.readFloat64(at + pivotsOf(kind) + 2 * i);
      if (last >= wanted.min) {
        const found = this.inSlot(at, i, { first, last }, wanted, false);
        if (found >= 0) return found;
      }
      first = last + 1;
    }
    return -1;
  }

  private highest(at: NodeRef, range: Range, wanted: Wanted): number {
    const { memory } = this;
    const state = memory.read(at + node.state);
    const pivots = at + pivotsOf(kindOf(state));
    for (let i = endOf(state), last = range.last; i >= 0 && last >= wanted.min; i--) {
      const first = i === 0 ? range.first : memory.readFloat64(pivots + 2 * (i - 1)) + 1;
      if (first <= wanted.max) {
        const found = this.inSlot(at, i, { first, last }, wanted, true);
        if (found >= 0) return found;
      }
      last = first - 1;
    }
    return -1;
  }

  /** A place in one slot of a node, or below it; -1 if there is none. */
  private inSlot(at: NodeRef, slot: number, range: Range, wanted: Wanted, back: boolean): number {
    const { memory } = this;
    if (kindOf(memory.read(at + node.state)) !== LEAF) {
      if (memory.readFloat64(at + inner.gaps + 2 * slot) < wanted.size) return -1;
      const child = memory.read(at + inner.slots + slot);
      return back ? this.highest(child, range, wanted) : this.lowest(child, range, wanted);
    }
    if (memory.read(at + leaf.slots + slot) !== 0) return -1;
    const from = Math.max(range.first, wanted.min);
    const to = Math.min(range.last, wanted.max);
    if (to - from + 1 < wanted.size) return -1;
    return back ? to - wanted.size + 1 : from;
  }
}

interface Range {
  readonly first: number;
  readonly last: number;
}

interface Wanted {
  readonly min: number;
  readonly max: number;
  readonly size: number;
}
