/**
 * What a store changes in a maple tree, worked out before anything is written.
 *
 * A store replaces the leaves that its range touches, and of each level above as much as changes its shape:
 *
 *   leaf     the slots before the range, the new one, the slots after it, in as many new leaves as they need
 *   above    where one new node takes one old node's place, the pointer to it is swung, and no more.  Else the parents'
 *            slots with the new nodes between them, and so on up
 *   root     grows a level when it is too full, and loses one when it has a single child
 *
 * Too short a list of slots takes a neighbour's in.  Ranges without an entry are merged, and no leaf but the tree's last
 * ends with one, so each lies in one leaf.
 *
 * Linux: lib/maple_tree.c mas_wr_store_setup, mas_wr_node_store, mas_split, mas_rebalance, mas_wr_spanning_store,
 * mas_extend_spanning_null.  Differs: one way for all of these; a full node's slots are spread evenly.
 */

import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";
import { MAX_INDEX, MapleInner, MapleNode, type NodeRef } from "./maple-node.ts";
import { type MapleReaders, MapleTree, type MapleTreeRef, pivotsOf, slotsOf } from "./maple-readers.ts";
import { capacityOf, endOf, kindOf, MapleKind, minSlotsOf } from "./maple-state.ts";

const tree = MapleTree;
const node = MapleNode;
const { LEAF, INNER } = MapleKind;

/** A slot of a node to be: an entry (0 none), a node that exists, or one to be. */
export interface PlannedSlot {
  readonly last: number;
  readonly to: Pointer | PlannedNode;
  /** Of a node that exists: the longest range without an entry below it. */
  readonly gap: number;
}

export interface PlannedNode {
  readonly kind: number;
  readonly first: number;
  readonly slots: readonly PlannedSlot[];
}

/** A slot on the way down to an index. */
export interface Step {
  readonly at: NodeRef;
  readonly slot: number;
  /** The node's range. */
  readonly first: number;
  readonly last: number;
}
export type Path = readonly Step[];

/** `top` goes to where `above` ends: into its last step's slot, or, without any, to the root. */
export interface Plan {
  readonly tree: MapleTreeRef;
  /** 0: nothing to link; a pointer: an entry that takes another's slot, or an old node that becomes the root. */
  readonly top: Pointer | PlannedNode;
  readonly above: Path;
  readonly dead: readonly NodeRef[];
}

const isLeafNull = (slot: PlannedSlot): boolean => slot.to === 0;

export class MaplePlanner {
  declare private readonly memory: Memory;
  declare private readonly readers: MapleReaders;

  constructor(memory: Memory, readers: MapleReaders) {
    this.memory = memory;
    this.readers = readers;
  }

  /** What storing `entry` (0: nothing) over [first, last] changes; null if it is so already.  @holds mmap_lock */
  plan(at: MapleTreeRef, first: number, last: number, entry: Pointer): Plan | null {
    const { memory, readers } = this;
    const there = readers.at(at, first);
    const isExact = readers.first === first && readers.last === last;
    if (entry === there && (isExact || (entry === 0 && readers.last >= last))) return null;
    if (memory.load(at + tree.root) === 0) return this.firstLeaf(at, first, last, entry);
    if (isExact && entry !== 0 && there !== 0)
      return { tree: at, top: entry, above: this.path(at, first), dead: [] };
    return entry === 0 ? this.replaceNull(at, first, last) : this.replace(at, first, last, entry);
  }

  /** The slots on the way to `index`, the root's first. */
  path(at: MapleTreeRef, index: number): Path {
    const { memory } = this;
    const steps: Step[] = [];
    let next = memory.load(at + tree.root);
    for (let first = 0, last = MAX_INDEX; ; ) {
      const slots = this.slotsOf(next, last);
      const slot = slots.findIndex((s) => index <= s.last);
      steps.push({ at: next, slot, first, last });
      if (kindOf(memory.read(next + node.state)) === LEAF) return steps;
      first = slot === 0 ? first : slots[slot - 1].last + 1;
      last = slots[slot].last;
      next = slots[slot].to as NodeRef;
    }
  }

  /** The slots of an existing node that ends at `last`. */
  slotsOf(at: NodeRef, last: number): PlannedSlot[] {
    const { memory } = this;
    const state = memory.read(at + node.state);
    const kind = kindOf(state);
    const end = endOf(state);
    return Array.from({ length: end + 1 }, (_, i) => ({
      last: i === end ? last : memory.readFloat64(at + pivotsOf(kind) + 2 * i),
      to: memory.read(at + slotsOf(kind) + i),
      gap: kind === INNER ? memory.readFloat64(at + MapleInner.gaps + 2 * i) : 0,
    }));
  }

  private firstLeaf(at: MapleTreeRef, first: number, last: number, entry: Pointer): Plan {
    const slots = [{ last, to: entry, gap: 0 }];
    if (first > 0) slots.unshift({ last: first - 1, to: 0, gap: 0 });
    if (last < MAX_INDEX) slots.push({ last: MAX_INDEX, to: 0, gap: 0 });
    return { tree: at, top: { kind: LEAF, first: 0, slots }, above: [], dead: [] };
  }

  /** The range without an entry is as long as it can be. */
  private replaceNull(at: MapleTreeRef, first: number, last: number): Plan {
    const { readers } = this;
    let from = first;
    let to = last;
    if (first > 0 && readers.at(at, first - 1) === 0) from = readers.first;
    if (last < MAX_INDEX && readers.at(at, last + 1) === 0) to = readers.last;
    return this.replace(at, from, to, 0);
  }

  private replace(at: MapleTreeRef, first: number, last: number, entry: Pointer): Plan {
    const low = this.path(at, first);
    const high = this.path(at, last);
    const depth = low.length - 1;
    const before = this.slotsOf(low[depth].at, low[depth].last);
    const after = this.slotsOf(high[depth].at, high[depth].last);
    const slots = before.slice(0, low[depth].slot);
    const cut = before[low[depth].slot];
    const cutFirst = slots.length === 0 ? low[depth].first : slots[slots.length - 1].last + 1;
    if (cutFirst < first) slots.push({ ...cut, last: first - 1 });
    slots.push({ last, to: entry, gap: 0 });
    slots.push(...after.slice(high[depth].slot + (after[high[depth].slot].last === last ? 1 : 0)));
    return this.rise({ at, low, high, dead: [] }, depth, LEAF, slots);
  }

  /** Replaces the nodes of level `depth` from `low` to `high` by nodes with `slots`, and what that changes above. */
  private rise(span: Span, depth: number, kind: number, slots: PlannedSlot[]): Plan {
    this.widen(span, depth, kind, slots);
    const { at, low, high, dead } = span;
    this.collect(span, depth);
    const nodes = pack(kind, low[depth].first, slots);
    if (depth === 0) return { tree: at, top: rootOver(nodes), above: [], dead };
    const isOne = nodes.length === 1 && low[depth].at === high[depth].at;
    if (isOne) return { tree: at, top: nodes[0], above: low.slice(0, depth), dead };
    const [left, right] = [low[depth - 1], high[depth - 1]];
    return this.rise(span, depth - 1, INNER, [
      ...this.slotsOf(left.at, left.last).slice(0, left.slot),
      ...nodes.map((to) => ({ last: to.slots[to.slots.length - 1].last, to, gap: 0 })),
      ...this.slotsOf(right.at, right.last).slice(right.slot + 1),
    ]);
  }

  /** Takes neighbours in while there are too few slots, or the last leaf would end without an entry. */
  private widen(span: Span, depth: number, kind: number, slots: PlannedSlot[]): void {
    const { at } = span;
    for (;;) {
      const high = span.high[depth];
      const low = span.low[depth];
      const endsNull = kind === LEAF && isLeafNull(slots[slots.length - 1]) && high.last < MAX_INDEX;
      if (!endsNull && slots.length >= minSlotsOf(kind)) return;
      if (high.last < MAX_INDEX) {
        span.high = this.path(at, high.last + 1);
        slots.push(...this.slotsOf(span.high[depth].at, span.high[depth].last));
      } else if (low.first > 0) {
        span.low = this.path(at, low.first - 1);
        slots.unshift(...this.slotsOf(span.low[depth].at, span.low[depth].last));
      } else {
        return;
      }
    }
  }

  /** All nodes of level `depth` from `low` to `high` die. */
  private collect({ at, low, high, dead }: Span, depth: number): void {
    for (let step = low[depth]; ; step = this.path(at, step.last + 1)[depth]) {
      dead.push(step.at);
      if (step.at === high[depth].at) return;
    }
  }
}

interface Span {
  readonly at: MapleTreeRef;
  low: Path;
  high: Path;
  readonly dead: NodeRef[];
}

/** As few nodes as hold the slots, evenly filled; no leaf but the last ends without an entry. */
function pack(kind: number, first: number, slots: readonly PlannedSlot[]): PlannedNode[] {
  const capacity = capacityOf(kind);
  for (let count = Math.ceil(slots.length / capacity); ; count++) {
    const ends = Array.from({ length: count }, (_, i) => Math.round((slots.length * (i + 1)) / count));
    if (kind === LEAF) for (let i = 0; i < count - 1; i++) if (isLeafNull(slots[ends[i] - 1])) ends[i]--;
    const pieces = ends.map((end, i) => slots.slice(i === 0 ? 0 : ends[i - 1], end));
    if (pieces.some((piece) => piece.length > capacity)) continue;
    return pieces.map((piece, i) => ({
      kind,
      first: i === 0 ? first : slots[ends[i - 1] - 1].last + 1,
      slots: piece,
    }));
  }
}

/** The tree's root for the nodes of its highest level. */
function rootOver(nodes: readonly PlannedNode[]): Pointer | PlannedNode {
  if (nodes.length > 1) {
    const slots = nodes.map((to) => ({ last: to.slots[to.slots.length - 1].last, to, gap: 0 }));
    return { kind: INNER, first: 0, slots };
  }
  let top: Pointer | PlannedNode = nodes[0];
  while (typeof top === "object" && top.slots.length === 1) {
    const [{ to }]: readonly PlannedSlot[] = top.slots;
    if (top.kind === LEAF) return to === 0 ? 0 : top;
    top = to;
  }
  return top;
}
