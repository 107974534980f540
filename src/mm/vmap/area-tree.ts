/**
 * Areas in order of address: a red-black tree and a list beside it, as all sets of areas have.
 *
 * In the tree of free areas each node also knows the largest size below it, which finds the lowest hole that fits in
 * O(log n).
 *
 * Linux: mm/vmalloc.c find_va_links, link_va, unlink_va, __merge_or_add_vmap_area, find_vmap_lowest_match.
 */

import { bug } from "../../memory/bug.ts";
import { listAdd, listDelInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { RbTree } from "../../memory/rb-tree.ts";
import type { Pointer } from "../../memory/units.ts";
import { formatAddress } from "./vmalloc-space.ts";
import { type AreaRef, VmapArea } from "./vmap-area.ts";

const area = VmapArea;
const RB = VmapArea.rb;
/** Alignment and size are powers of two and multiples of a page: exact beyond 32 bits. */
export const alignAddress = (address: number, align: number): number => Math.ceil(address / align) * align;

export class AreaTree {
  declare readonly rb: RbTree;
  declare private readonly memory: Memory;
  declare private readonly keepsGaps: boolean;
  // Where `locate` has ended; taken at once.
  private parent: Pointer = 0;
  private isLeft = false;

  /** With `keepsGaps`: trees of free areas. */
  constructor(memory: Memory, keepsGaps: boolean) {
    this.memory = memory;
    this.keepsGaps = keepsGaps;
    const augment = {
      compute: (node: Pointer): boolean => {
        const max = Math.max(
          this.sizeOf(node - RB),
          this.maxBelow(this.rb.left(node)),
          this.maxBelow(this.rb.right(node)),
        );
        const at = node - RB + area.subtreeMax;
        if (memory.readFloat64(at) === max) return false;
        memory.writeFloat64(at, max);
        return true;
      },
      copy: (from: Pointer, to: Pointer): void => {
        memory.writeFloat64(to - RB + area.subtreeMax, memory.readFloat64(from - RB + area.subtreeMax));
      },
    };
    this.rb = new RbTree(memory, keepsGaps ? augment : null);
  }

  startOf(at: AreaRef): number {
    return this.memory.readFloat64(at + area.start);
  }
  endOf(at: AreaRef): number {
    return this.memory.readFloat64(at + area.end);
  }
  sizeOf(at: AreaRef): number {
    return this.endOf(at) - this.startOf(at);
  }

  /** The area that holds `address`, or 0.  Linux: __find_vmap_area. */
  find(root: Pointer, address: number): AreaRef {
    let node = this.memory.read(root);
    while (node !== 0) {
      const at = node - RB;
      if (address < this.startOf(at)) node = this.rb.left(node);
      else if (address >= this.endOf(at)) node = this.rb.right(node);
      else return at;
    }
    return 0;
  }

  /** Linux: insert_vmap_area, insert_vmap_area_augment. */
  insert(root: Pointer, head: Pointer, at: AreaRef): void {
    this.locate(root, at);
    this.link(root, head, at);
    this.rb.propagate(at + RB);
  }

  /** Linux: unlink_va, unlink_va_augment. */
  remove(root: Pointer, at: AreaRef): void {
    this.rb.erase(root, at + RB);
    listDelInit(this.memory, at + area.links);
  }

  /**
   * Adds an area, joined with those that touch it; those that become part of another are given to `drop`.
   * Linux: merge_or_add_vmap_area, merge_or_add_vmap_area_augment.
   */
  mergeOrAdd(root: Pointer, head: Pointer, added: AreaRef, drop: (at: AreaRef) => void): void {
    const { memory } = this;
    let at = added;
    let isMerged = false;
    this.locate(root, at);
    const next = this.nextSibling(head);
    if (next !== 0 && this.startOf(next) === this.endOf(at)) {
      memory.writeFloat64(next + area.start, this.startOf(at));
      drop(at);
      at = next;
      isMerged = true;
    }
    // After a merge `next` is the area itself; what lies before it is before it still.
    const previous = this.linkBefore(head, next);
    if (previous !== 0 && this.endOf(previous) === this.startOf(at)) {
      if (isMerged) this.remove(root, at);
      memory.writeFloat64(previous + area.end, this.endOf(at));
      drop(at);
      at = previous;
      isMerged = true;
    }
    if (!isMerged) this.link(root, head, at);
    this.rb.propagate(at + RB);
  }

  /** The bounds of a linked area have changed.  Linux: augment_tree_propagate_from. */
  resized(at: AreaRef): void {
    this.rb.propagate(at + RB);
  }

  /**
   * The lowest area in which `size` bytes fit at `align` from `lowest` on, or 0.  With `adjusts` the search asks for so much
   * more that any alignment fits, and goes straight down.  Linux: find_vmap_lowest_match.
   */
  lowestMatch(root: Pointer, size: number, align: number, lowest: number, adjusts: boolean): AreaRef {
    const { rb } = this;
    const length = adjusts ? size + align - 1 : size;
    let from = lowest;
    let node = this.memory.read(root);
    while (node !== 0) {
      const at = node - RB;
      const left = rb.left(node);
      if (from < this.startOf(at) && this.maxBelow(left) >= length) {
        node = left;
        continue;
      }
      if (this.fits(at, size, align, from)) return at;
      const right = rb.right(node);
      if (this.maxBelow(right) >= length) {
        node = right;
        continue;
      }
      // Neither side fits: back up, to the first right side that was not looked at.
      for (node = rb.parent(node); node !== 0; node = rb.parent(node)) {
        const above = node - RB;
        if (this.fits(above, size, align, from)) return above;
        const other = rb.right(node);
        if (this.maxBelow(other) >= length && from <= this.startOf(above)) {
          // One more than its start: no way leads back into what was just searched.
          from = this.startOf(above) + 1;
          node = other;
          break;
        }
      }
    }
    return 0;
  }

  /** Linux: is_within_this_va. */
  private fits(at: AreaRef, size: number, align: number, lowest: number): boolean {
    const start = alignAddress(Math.max(this.startOf(at), lowest), align);
    return start + size <= this.endOf(at);
  }

  /** Linux: get_subtree_max_size. */
  private maxBelow(node: Pointer): number {
    return node === 0 ? 0 : this.memory.readFloat64(node - RB + area.subtreeMax);
  }

  /** Finds the place of an area that overlaps none.  Linux: find_va_links. */
  private locate(root: Pointer, at: AreaRef): void {
    const start = this.startOf(at);
    const end = this.endOf(at);
    this.parent = 0;
    this.isLeft = false;
    for (let node = this.memory.read(root); node !== 0; ) {
      const other = node - RB;
      this.parent = node;
      this.isLeft = end <= this.startOf(other);
      if (!this.isLeft && start < this.endOf(other)) this.reportOverlap(at, other);
      node = this.isLeft ? this.rb.left(node) : this.rb.right(node);
    }
  }

  /** The area after the place that `locate` has found; 0 at the end.  Linux: get_va_next_sibling. */
  private nextSibling(head: Pointer): AreaRef {
    if (this.parent === 0) return 0;
    const other = this.parent - RB;
    if (this.isLeft) return other;
    const link = this.memory.read(other + area.links);
    return link === head ? 0 : link - area.links;
  }

  /** The area before `next`, or the last one when that is 0. */
  private linkBefore(head: Pointer, next: AreaRef): AreaRef {
    const link = this.memory.read((next === 0 ? head : next + area.links) + 1);
    return link === head ? 0 : link - area.links;
  }

  /** At the place that `locate` has found.  Linux: link_va. */
  private link(root: Pointer, head: Pointer, at: AreaRef): void {
    const { memory, parent, isLeft, keepsGaps } = this;
    let after = head;
    if (parent !== 0) {
      after = parent - RB + area.links;
      if (isLeft) after = memory.read(after + 1);
    }
    // Rotations count the new node as nothing; `propagate` then tells all above it.
    if (keepsGaps) memory.writeFloat64(at + area.subtreeMax, 0);
    this.rb.insert(root, at + RB, parent, isLeft);
    listAdd(memory, at + area.links, after);
  }

  private reportOverlap(at: AreaRef, other: AreaRef): never {
    const text = (one: AreaRef): string =>
      `${formatAddress(this.startOf(one))}-${formatAddress(this.endOf(one))}`;
    bug(`vmalloc bug: ${text(at)} overlaps with ${text(other)}`);
  }
}
