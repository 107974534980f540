/**
 * Intervals of page numbers, sorted by their first, each node with the greatest last of its subtree: finds all that
 * overlap a range in O(log n) for each.
 *
 * Linux: mm/interval_tree.c, include/linux/interval_tree_generic.h.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { RbTree } from "../memory/rb-tree.ts";
import type { Pointer } from "../memory/units.ts";

export interface IntervalShape {
  readonly memory: Memory;
  /** From an RbNode to the float64 that holds the greatest last of its subtree. */
  readonly subtreeLast: number;
  firstOf(node: Pointer): number;
  lastOf(node: Pointer): number;
}

export class IntervalTree {
  private readonly shape: IntervalShape;
  private readonly rb: RbTree;

  constructor(shape: IntervalShape) {
    this.shape = shape;
    const { memory, subtreeLast } = shape;
    this.rb = new RbTree(memory, {
      compute: (node) => {
        const greatest = this.greatestLast(node);
        if (memory.readFloat64(node + subtreeLast) === greatest) return false;
        memory.writeFloat64(node + subtreeLast, greatest);
        return true;
      },
      copy: (from, to) => memory.writeFloat64(to + subtreeLast, memory.readFloat64(from + subtreeLast)),
    });
  }

  insert(root: Pointer, node: Pointer): void {
    const { memory, firstOf, lastOf, subtreeLast } = this.shape;
    const [first, last] = [firstOf(node), lastOf(node)];
    let parent = 0;
    let isLeft = true;
    for (let at = memory.read(root); at !== 0; ) {
      parent = at;
      if (memory.readFloat64(at + subtreeLast) < last) memory.writeFloat64(at + subtreeLast, last);
      isLeft = first < firstOf(at);
      at = isLeft ? this.rb.left(at) : this.rb.right(at);
    }
    memory.writeFloat64(node + subtreeLast, last);
    this.rb.insert(root, node, parent, isLeft);
  }

  remove(root: Pointer, node: Pointer): void {
    this.rb.erase(root, node);
  }

  /** Calls `visit` with every node that overlaps [first, last], by their firsts. */
  forEach(root: Pointer, first: number, last: number, visit: (node: Pointer) => void): void {
    this.visitBelow(this.shape.memory.read(root), first, last, visit);
  }

  /** All nodes in order; the tree's invariants. */
  check(root: Pointer, name: string): Pointer[] {
    const nodes = this.rb.check(root, name);
    const { firstOf, lastOf } = this.shape;
    for (const [i, node] of nodes.entries()) {
      if (lastOf(node) < firstOf(node)) bug(`${name}: node ${node} is ${firstOf(node)} to ${lastOf(node)}`);
      if (i > 0 && firstOf(nodes[i - 1]) > firstOf(node)) bug(`${name}: node ${node} comes too late`);
    }
    return nodes;
  }

  private visitBelow(node: Pointer, first: number, last: number, visit: (node: Pointer) => void): void {
    const { memory, firstOf, lastOf, subtreeLast } = this.shape;
    if (node === 0 || memory.readFloat64(node + subtreeLast) < first) return;
    const right = this.rb.right(node);
    this.visitBelow(this.rb.left(node), first, last, visit);
    if (firstOf(node) > last) return;
    if (lastOf(node) >= first) visit(node);
    this.visitBelow(right, first, last, visit);
  }

  private greatestLast(node: Pointer): number {
    const { memory, lastOf, subtreeLast } = this.shape;
    const below = (child: Pointer): number => (child === 0 ? 0 : memory.readFloat64(child + subtreeLast));
    return Math.max(lastOf(node), below(this.rb.left(node)), below(this.rb.right(node)));
  }
}
