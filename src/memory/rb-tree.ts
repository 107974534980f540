/**
 * Red-black trees through words of RAM, with or without a value that each node has of its whole subtree.
 *
 * A node is embedded in what it sorts; the tree is the word that names its root.  Who inserts finds the place himself,
 * as in Linux: this module knows no order.
 *
 *   parentColor: parent << 1 | 1 if black
 *
 * Invariants (`check`)
 *   R1  the root is black, a red node has no red child, every path down has as many black nodes
 *   R2  children name their parent
 *   R3  with an augmentation: each node's value is what `compute` makes of it
 *
 * Linux: lib/rbtree.c, include/linux/rbtree_augmented.h.  Differs: an erase computes the values up to the root.
 */

import { bug } from "./bug.ts";
import type { Memory } from "./memory.ts";
import { struct, word } from "./struct.ts";
import type { Pointer } from "./units.ts";

export const RbNode = struct("rb_node", {
  parentColor: word("holder"),
  right: word("holder", "pointer:rb_node"),
  left: word("holder", "pointer:rb_node"),
  pad: word("boot"),
});

/** A value of each node's subtree.  Linux: struct rb_augment_callbacks. */
export interface RbAugment {
  /** Computes the node's value anew from its own and its children's; whether it has changed. */
  compute(node: Pointer): boolean;
  copy(from: Pointer, to: Pointer): void;
}

const field = RbNode;
const BLACK = 1;

export class RbTree {
  declare private readonly memory: Memory;
  declare private readonly augment: RbAugment | null;

  constructor(memory: Memory, augment: RbAugment | null) {
    this.memory = memory;
    this.augment = augment;
  }

  left(node: Pointer): Pointer {
    return this.memory.read(node + field.left);
  }
  right(node: Pointer): Pointer {
    return this.memory.read(node + field.right);
  }
  parent(node: Pointer): Pointer {
    return this.memory.read(node + field.parentColor) >>> 1;
  }

  /** Links `node` below `parent` (0: the tree is empty) and balances.  The values above are the caller's to `propagate`. */
  insert(root: Pointer, node: Pointer, parent: Pointer, isLeft: boolean): void {
    const { memory } = this;
    memory.write(node + field.parentColor, parent << 1);
    memory.write(node + field.left, 0);
    memory.write(node + field.right, 0);
    if (parent === 0) memory.write(root, node);
    else memory.write(parent + (isLeft ? field.left : field.right), node);
    this.balanceInsert(root, node);
  }

  /** Computes the values from `node` up, until one stays. */
  propagate(node: Pointer): void {
    const { augment } = this;
    if (augment === null) return;
    for (let at = node; at !== 0; at = this.parent(at)) if (!augment.compute(at)) break;
  }

  /** Takes `node` out. */
  erase(root: Pointer, node: Pointer): void {
    const { memory } = this;
    const left = this.left(node);
    const right = this.right(node);
    const above = this.parent(node);
    let child: Pointer;
    let parent: Pointer;
    let wasBlack: boolean;
    if (left === 0 || right === 0) {
      child = left === 0 ? right : left;
      parent = above;
      wasBlack = !this.isRed(node);
      this.replace(root, above, node, child);
      if (child !== 0) this.setParent(child, above);
    } else {
      let next = right;
      for (let at = this.left(next); at !== 0; at = this.left(at)) next = at;
      child = this.right(next);
      wasBlack = !this.isRed(next);
      parent = this.parent(next);
      if (parent === node) parent = next;
      else {
        memory.write(parent + field.left, child);
        if (child !== 0) this.setParent(child, parent);
        memory.write(next + field.right, right);
        this.setParent(right, next);
      }
      memory.write(next + field.left, left);
      this.setParent(left, next);
      memory.write(next + field.parentColor, memory.read(node + field.parentColor));
      this.replace(root, above, node, next);
      this.augment?.copy(node, next);
    }
    if (this.augment !== null) for (let at = parent; at !== 0; at = this.parent(at)) this.augment.compute(at);
    if (wasBlack) this.balanceErase(root, child, parent);
  }

  /** R1 to R3, at rest; the nodes in order. */
  check(root: Pointer, name: string): Pointer[] {
    const nodes: Pointer[] = [];
    const visit = (node: Pointer, parent: Pointer): number => {
      if (node === 0) return 1;
      if (this.parent(node) !== parent)
        bug(`R2 ${name}: node ${node} names parent ${this.parent(node)}, it hangs below ${parent}`);
      if (this.isRed(node) && (parent === 0 || this.isRed(parent)))
        bug(`R1 ${name}: node ${node} is red below red`);
      const left = visit(this.left(node), node);
      nodes.push(node);
      const right = visit(this.right(node), node);
      if (left !== right)
        bug(`R1 ${name}: node ${node} has ${left} black nodes to the left, ${right} to the right`);
      if (this.augment?.compute(node)) bug(`R3 ${name}: the subtree value of node ${node} was wrong`);
      return left + (this.isRed(node) ? 0 : 1);
    };
    visit(this.memory.read(root), 0);
    return nodes;
  }

  // ---- colours and links ----

  private isRed(node: Pointer): boolean {
    return (this.memory.read(node + field.parentColor) & BLACK) === 0;
  }
  private isRedOrNone(node: Pointer): boolean {
    return node !== 0 && this.isRed(node);
  }
  private setRed(node: Pointer): void {
    const at = node + field.parentColor;
    this.memory.write(at, this.memory.read(at) & ~BLACK);
  }
  private setBlack(node: Pointer): void {
    const at = node + field.parentColor;
    this.memory.write(at, this.memory.read(at) | BLACK);
  }
  private setParent(node: Pointer, parent: Pointer): void {
    const at = node + field.parentColor;
    this.memory.write(at, (parent << 1) | (this.memory.read(at) & BLACK));
  }

  private replace(root: Pointer, parent: Pointer, old: Pointer, node: Pointer): void {
    const { memory } = this;
    if (parent === 0) memory.write(root, node);
    else if (this.left(parent) === old) memory.write(parent + field.left, node);
    else memory.write(parent + field.right, node);
  }

  /** `node` goes down on the side of `down`, its child from the other side comes up. */
  private rotate(root: Pointer, node: Pointer, down: number, other: number): void {
    const { memory, augment } = this;
    const up = memory.read(node + other);
    const inner = memory.read(up + down);
    const above = this.parent(node);
    memory.write(node + other, inner);
    if (inner !== 0) this.setParent(inner, node);
    this.replace(root, above, node, up);
    this.setParent(up, above);
    memory.write(up + down, node);
    this.setParent(node, up);
    if (augment === null) return;
    augment.copy(node, up);
    augment.compute(node);
  }

  private balanceInsert(root: Pointer, inserted: Pointer): void {
    let node = inserted;
    for (;;) {
      let parent = this.parent(node);
      if (parent === 0) {
        this.setBlack(node);
        return;
      }
      if (!this.isRed(parent)) return;
      const grand = this.parent(parent);
      const isLeft = this.left(grand) === parent;
      const [near, far] = isLeft ? [field.left, field.right] : [field.right, field.left];
      const uncle = this.memory.read(grand + far);
      if (this.isRedOrNone(uncle)) {
        this.setBlack(uncle);
        this.setBlack(parent);
        this.setRed(grand);
        node = grand;
        continue;
      }
      if (this.memory.read(parent + far) === node) {
        this.rotate(root, parent, near, far);
        parent = node;
      }
      this.setBlack(parent);
      this.setRed(grand);
      this.rotate(root, grand, far, near);
      return;
    }
  }

  /** A black node is missing on all paths through `child`, below `parent`. */
  private balanceErase(root: Pointer, child: Pointer, below: Pointer): void {
    let node = child;
    let parent = below;
    while (parent !== 0 && !this.isRedOrNone(node)) {
      const isLeft = this.left(parent) === node;
      const [near, far] = isLeft ? [field.left, field.right] : [field.right, field.left];
      let sibling = this.memory.read(parent + far);
      if (this.isRed(sibling)) {
        this.setBlack(sibling);
        this.setRed(parent);
        this.rotate(root, parent, near, far);
        sibling = this.memory.read(parent + far);
      }
      const nephew = this.memory.read(sibling + near);
      const outer = this.memory.read(sibling + far);
      if (!this.isRedOrNone(nephew) && !this.isRedOrNone(outer)) {
        this.setRed(sibling);
        node = parent;
        parent = this.parent(node);
        continue;
      }
      if (!this.isRedOrNone(outer)) {
        this.setBlack(nephew);
        this.setRed(sibling);
        this.rotate(root, sibling, far, near);
        sibling = nephew;
      }
      if (this.isRed(parent)) this.setRed(sibling);
      else this.setBlack(sibling);
      this.setBlack(parent);
      this.setBlack(this.memory.read(sibling + far));
      this.rotate(root, parent, near, far);
      return;
    }
    if (node !== 0) this.setBlack(node);
  }
}
