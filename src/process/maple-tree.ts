/**
 * The maple tree of an address space: ranges of indices with an entry each, in a B-tree of 256-byte nodes.
 *
 * Readers take no lock (maple-readers).  Who stores holds mmap_lock for writing, works out what changes (maple-plan),
 * reserves the nodes that this needs, which may fail, and commits, which may not.
 *
 * Invariants, while mmap_lock is free
 *   V1  the slots of a node divide its range in order; inner nodes' slots are nodes, all leaves are equally deep
 *   V2  no two ranges without an entry are neighbours; no leaf but the last ends with one
 *   V3  the gap of an inner slot is the longest range without an entry below it
 *   V4  a node but the root has at least half of its slots less one, and no node that can be reached is dead
 *
 * Linux: lib/maple_tree.c mas_preallocate, mas_store_prealloc, mas_replace_node, mas_update_gap, ma_free_rcu, __mt_destroy.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { struct, word, wordsIn } from "../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../memory/units.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { FunctionId, Functions } from "../sync/functions.ts";
import type { Rcu } from "../sync/rcu.ts";
import { type LeafStore, LeafStores } from "./maple-leaf-store.ts";
import { MAX_INDEX, MapleDead, MapleInner, MapleNode, type NodeRef } from "./maple-node.ts";
import { MaplePlanner, type Path, type Plan, type PlannedNode } from "./maple-plan.ts";
import { MapleReaders, MapleTree, type MapleTreeRef, pivotsOf, slotsOf } from "./maple-readers.ts";
import { kindOf, MapleKind, minSlotsOf, stateOf } from "./maple-state.ts";

const tree = MapleTree;
const node = MapleNode;
const inner = MapleInner;
const { LEAF, INNER, DEAD } = MapleKind;
const NODE_BYTES = wordsIn(MapleNode) * WORD_BYTES;
/** Nodes are freed at once, under their readers. */
const freesAtOnce = mutant("maple-free-before-grace");

/** What the trees have in the kernel image. */
const MapleGlobals = struct("maple_globals", {
  nodeCache: word("boot", "pointer:kmem_cache"),
  pad: word("boot"),
});

/** An entry and its range. */
export interface MapleEntry {
  readonly first: number;
  readonly last: number;
  readonly entry: Pointer;
}

/** What a store will do, and the nodes that are kept for it. */
export interface Reserved {
  readonly leaf: LeafStore | null;
  /** Null when `leaf` says it all, or nothing changes. */
  readonly plan: Plan | null;
  readonly nodes: NodeRef[];
}

export class MapleTrees extends MapleReaders {
  declare private readonly rcu: Rcu;
  declare private readonly slabs: SlabCaches;
  /** The word that names the cache of nodes. */
  declare private readonly cacheAt: Pointer;
  declare private readonly planner: MaplePlanner;
  declare private readonly leafStores: LeafStores;
  declare private readonly freeFunction: FunctionId;

  constructor(parts: { rcu: Rcu; slabs: SlabCaches; functions: Functions; slot: Slot }) {
    super(parts.slabs.memory);
    this.rcu = parts.rcu;
    this.slabs = parts.slabs;
    this.cacheAt = parts.slot.address + MapleGlobals.nodeCache;
    this.planner = new MaplePlanner(this.memory, this);
    this.leafStores = new LeafStores(this.memory);
    this.freeFunction = parts.functions.register("mt_free_rcu", (_cpu, head) =>
      this.slabs.free(this.cache, head - MapleDead.rcu),
    );
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("maple_globals", MapleGlobals);
  }

  /** Makes the cache of nodes, once for all trees.  Linux: maple_tree_init.  @may-sleep */
  init(): void {
    const options = { name: "maple_node", objectBytes: NODE_BYTES, alignBytes: NODE_BYTES };
    const cache = this.slabs.create(options);
    if (cache === 0) bug("no memory for the cache of maple nodes");
    this.memory.write(this.cacheAt, cache);
  }

  format(at: MapleTreeRef): void {
    this.memory.write(at + tree.root, 0);
  }

  // ---- storing: mmap_lock is held for writing ----

  /**
   * Keeps what storing `entry` over [first, last] will need; null when there is no memory.  Until `commit` or `abandon`
   * the tree must not change.  Linux: mas_preallocate.
   */
  reserve(at: MapleTreeRef, first: number, last: number, entry: Pointer, gfp: number): Reserved | null {
    if (!(first >= 0 && first <= last && last <= MAX_INDEX))
      bug(`maple tree: range ${first} to ${last}: valid are 0 to ${MAX_INDEX}, in order`);
    const leaf = this.leafStores.plan(at, first, last, entry);
    const plan = leaf === null ? this.planner.plan(at, first, last, entry) : null;
    const nodes: NodeRef[] = [];
    for (let left = leaf !== null ? 1 : plan === null ? 0 : countNodes(plan.top); left > 0; left--) {
      const fresh = this.slabs.alloc(this.cache, gfp);
      if (fresh === 0) {
        this.abandon({ leaf, plan, nodes });
        return null;
      }
      nodes.push(fresh);
    }
    return { leaf, plan, nodes };
  }

  /** Stores what was reserved.  Linux: mas_store_prealloc. */
  commit({ leaf, plan, nodes }: Reserved): void {
    if (leaf !== null) this.commitLeaf(leaf, nodes[0]);
    if (plan === null) return;
    const { memory } = this;
    const { above, top, dead } = plan;
    const link = typeof top === "number" ? top : this.write(top, nodes);
    const parent = above.at(-1);
    // An entry in another's slot leaves all gaps as they are.
    if (typeof top === "object") this.updateGaps(above, this.longestGap(link, top.first, lastOf(top)));
    if (parent === undefined) memory.store(plan.tree + tree.root, link);
    else memory.store(this.slotAt(parent.at, parent.slot), link);
    for (const old of dead) this.bury(old);
  }

  private commitLeaf(store: LeafStore, fresh: NodeRef): void {
    const { memory } = this;
    this.leafStores.write(store, fresh);
    if (store.link !== store.tree + tree.root) {
      const above = this.planner.path(store.tree, store.first).slice(0, -1);
      this.updateGaps(above, this.longestGap(fresh, store.leafFirst, store.leafLast));
    }
    memory.store(store.link, fresh);
    this.bury(store.old);
  }

  /** Linux: mas_destroy. */
  abandon({ nodes }: Reserved): void {
    for (const unused of nodes) this.slabs.free(this.cache, unused);
  }

  /** Both at once: false when there is no memory.  `entry` 0 erases.  Linux: mas_store_gfp. */
  store(at: MapleTreeRef, range: MapleEntry, gfp: number): boolean {
    const reserved = this.reserve(at, range.first, range.last, range.entry, gfp);
    if (reserved !== null) this.commit(reserved);
    return reserved !== null;
  }

  /** Ends a tree that nobody stores to; readers may still be in it.  Linux: __mt_destroy. */
  destroy(at: MapleTreeRef): void {
    const root = this.memory.read(at + tree.root);
    this.memory.store(at + tree.root, 0);
    if (root !== 0) this.buryAll(root);
  }

  // ---- checking ----

  /** V1 to V4, at rest; every entry in order. */
  check(at: MapleTreeRef): MapleEntry[] {
    const entries: MapleEntry[] = [];
    const root = this.memory.read(at + tree.root);
    if (root === 0) return entries;
    const depths = new Set<number>();
    this.checkNode(root, { first: 0, last: MAX_INDEX, depth: 0 }, entries, depths);
    if (depths.size !== 1) bug(`V1 maple tree at word ${at}: leaves at depths ${[...depths].join(", ")}`);
    let isNull = false;
    for (const { first, entry } of entries) {
      if (entry === 0 && isNull)
        bug(`V2 maple tree at word ${at}: two ranges without an entry meet at ${first}`);
      isNull = entry === 0;
    }
    return entries.filter(({ entry }) => entry !== 0);
  }

  private checkNode(
    at: NodeRef,
    range: { first: number; last: number; depth: number },
    entries: MapleEntry[],
    depths: Set<number>,
  ): void {
    const kind = kindOf(this.memory.read(at + node.state));
    const where = `maple node at word ${at}`;
    if (kind !== LEAF && kind !== INNER) bug(`V4 ${where}: kind ${kind} can be reached`);
    const slots = this.planner.slotsOf(at, range.last);
    if (range.depth > 0 && slots.length < minSlotsOf(kind)) bug(`V4 ${where}: only ${slots.length} slots`);
    if (kind === LEAF) depths.add(range.depth);
    let first = range.first;
    for (const [i, { last, to, gap }] of slots.entries()) {
      if (!(last >= first && last <= range.last)) bug(`V1 ${where}: slot ${i} is ${first} to ${last}`);
      if (kind === LEAF) entries.push({ first, last, entry: to as Pointer });
      else {
        this.checkNode(to as NodeRef, { first, last, depth: range.depth + 1 }, entries, depths);
        const longest = this.longestGap(to as NodeRef, first, last);
        if (gap !== longest) bug(`V3 ${where}: the gap of slot ${i} is ${longest}, it says ${gap}`);
      }
      first = last + 1;
    }
    const endsNull = kind === LEAF && slots[slots.length - 1].to === 0;
    if (endsNull && range.last < MAX_INDEX) bug(`V2 ${where}: ends at ${range.last} without an entry`);
  }

  // ---- nodes ----

  private get cache(): CacheRef {
    return this.memory.read(this.cacheAt);
  }

  private slotAt(at: NodeRef, slot: number): Pointer {
    return at + slotsOf(kindOf(this.memory.read(at + node.state))) + slot;
  }

  /** Writes a planned node and those below it into nodes of `from`. */
  private write(planned: PlannedNode, from: NodeRef[]): NodeRef {
    const { memory } = this;
    const at = from.pop() ?? bug("maple tree: fewer nodes were reserved than are needed");
    const { kind, slots } = planned;
    memory.write(at + node.state, stateOf(kind, slots.length - 1));
    let { first } = planned;
    for (const [i, { last, to, gap }] of slots.entries()) {
      const child = typeof to === "number" ? to : this.write(to, from);
      if (i < slots.length - 1) memory.writeFloat64(at + pivotsOf(kind) + 2 * i, last);
      memory.write(at + slotsOf(kind) + i, child);
      if (kind === INNER) {
        const longest = typeof to === "number" ? gap : this.longestGap(child, first, last);
        memory.writeFloat64(at + inner.gaps + 2 * i, longest);
      }
      first = last + 1;
    }
    return at;
  }

  /** The longest gap below the end of `above` becomes `longest`.  Linux: mas_update_gap. */
  private updateGaps(above: Path, longest: number): void {
    const { memory } = this;
    let below = longest;
    for (const { at, slot, first, last } of above.toReversed()) {
      const gapAt = at + inner.gaps + 2 * slot;
      if (memory.readFloat64(gapAt) === below) return;
      memory.writeFloat64(gapAt, below);
      below = this.longestGap(at, first, last);
    }
  }

  /** Readers may be in the node: it dies now, and is freed when they have gone. */
  private bury(at: NodeRef): void {
    reached("maple-free-before-grace");
    this.memory.store(at + node.state, DEAD);
    if (freesAtOnce) this.slabs.free(this.cache, at);
    else this.rcu.call(at + MapleDead.rcu, this.freeFunction);
  }

  private buryAll(at: NodeRef): void {
    const isLeaf = kindOf(this.memory.read(at + node.state)) === LEAF;
    const below = isLeaf ? [] : this.planner.slotsOf(at, MAX_INDEX).map(({ to }) => to as NodeRef);
    this.bury(at);
    for (const child of below) this.buryAll(child);
  }
}

const countNodes = (planned: Pointer | PlannedNode): number =>
  typeof planned === "number" ? 0 : planned.slots.reduce((sum, { to }) => sum + countNodes(to), 1);

const lastOf = ({ slots }: PlannedNode): number => slots[slots.length - 1].last;
