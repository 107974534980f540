/**
 * A sorted array of physical ranges in RAM: one of memblock's two lists.
 *
 * Invariants
 *   R1  regions ascend and are disjoint, and none is empty
 *   R2  neighbours that touch differ in node or flags (else they would have merged)
 *   R3  totalBytes == sum of the sizes
 *   R4  count <= capacity
 *
 * Addresses and sizes are bytes in float64 words, exact up to 2^53.  Linux: mm/memblock.c, struct memblock_type.
 */

import type { Memory } from "../../memory/memory.ts";
import { float64, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";

export const MemblockRegion = struct("memblock_region", {
  base: float64("boot"),
  size: float64("boot"),
  flags: word("boot", "flags"),
  /** NO_NODE when nobody has said. */
  node: word("boot"),
});
const REGION_WORDS = wordsIn(MemblockRegion);

export const MemblockType = struct("memblock_type", {
  count: word("boot", "counter"),
  capacity: word("boot"),
  totalBytes: float64("boot"),
  regions: word("boot", "pointer:memblock_region"),
});

/** The top of what can be addressed: the largest exact integer. */
export const PHYS_ADDR_MAX = Number.MAX_SAFE_INTEGER;
export const NO_NODE = -1;
/** Regions that each list holds before it must grow.  Linux: INIT_MEMBLOCK_REGIONS. */
export const INIT_REGIONS = 128;

/** Makes room for more regions, away from the range that is being added; false when it cannot. */
export type Grow = (newAreaStart: number, newAreaBytes: number) => boolean;

const region = MemblockRegion;
const type = MemblockType;

/** A view of one list. */
export class RegionArray {
  readonly name: string;
  private readonly memory: Memory;
  private readonly at: Pointer;
  private readonly grow: Grow;

  constructor(memory: Memory, at: Pointer, name: string, grow: Grow) {
    this.memory = memory;
    this.at = at;
    this.name = name;
    this.grow = grow;
  }

  /** An empty list over the `capacity` regions at `regions`. */
  format(regions: Pointer, capacity: number): void {
    this.memory.write(this.at + type.count, 0);
    this.memory.write(this.at + type.capacity, capacity);
    this.memory.writeFloat64(this.at + type.totalBytes, 0);
    this.memory.write(this.at + type.regions, regions);
  }

  get count(): number {
    return this.memory.read(this.at + type.count);
  }
  get capacity(): number {
    return this.memory.read(this.at + type.capacity);
  }
  get totalBytes(): number {
    return this.memory.readFloat64(this.at + type.totalBytes);
  }
  get regions(): Pointer {
    return this.memory.read(this.at + type.regions);
  }

  base(i: number): number {
    return this.memory.readFloat64(this.region(i) + region.base);
  }
  size(i: number): number {
    return this.memory.readFloat64(this.region(i) + region.size);
  }
  end(i: number): number {
    return this.base(i) + this.size(i);
  }
  flags(i: number): number {
    return this.memory.read(this.region(i) + region.flags);
  }
  node(i: number): number {
    return this.memory.read(this.region(i) + region.node);
  }
  setFlags(i: number, flags: number): void {
    this.memory.write(this.region(i) + region.flags, flags);
  }
  setNode(i: number, node: number): void {
    this.memory.write(this.region(i) + region.node, node);
  }
  /** Changes a region's bounds; the caller keeps the order. */
  resize(i: number, base: number, size: number): void {
    this.addTotal(size - this.size(i));
    this.memory.writeFloat64(this.region(i) + region.base, base);
    this.memory.writeFloat64(this.region(i) + region.size, size);
  }

  /**
   * Adds [base, base + size): what the list covers already keeps its node and flags.  False when the list is full and
   * cannot grow.  Linux: memblock_add_range, which counts the new regions first and inserts in a second round.
   */
  addRange(base: number, size: number, node: number, flags: number): boolean {
    const bytes = capSize(base, size);
    if (bytes === 0) return true;
    const end = base + bytes;
    // In the worst case every region and the range's end leave a gap to fill.
    let insert = this.count * 2 + 1 <= this.capacity;
    for (;;) {
      const pieces = this.fillGaps({ base, end, node, flags, insert });
      if (pieces.added === 0) return true;
      if (insert) {
        this.merge(pieces.first, pieces.last);
        return true;
      }
      while (this.count + pieces.added > this.capacity) {
        if (!this.grow(base, bytes)) return false;
      }
      insert = true;
    }
  }

  /** Removes [base, base + size).  Linux: memblock_remove_range. */
  removeRange(base: number, size: number): boolean {
    const inside = this.isolate(base, size);
    if (inside === null) return false;
    for (let i = inside.end - 1; i >= inside.start; i--) this.removeAt(i);
    return true;
  }

  /**
   * Splits regions so that none crosses a border of [base, base + size); returns the indices of those inside, or null
   * when the list cannot grow.  Linux: memblock_isolate_range.
   */
  isolate(base: number, size: number): { start: number; end: number } | null {
    const bytes = capSize(base, size);
    const inside = { start: 0, end: 0 };
    if (bytes === 0) return inside;
    const end = base + bytes;
    while (this.count + 2 > this.capacity) {
      if (!this.grow(base, bytes)) return null;
    }
    for (let i = 0; i < this.count; i++) {
      const regionBase = this.base(i);
      const regionEnd = this.end(i);
      if (regionBase >= end) break;
      if (regionEnd <= base) continue;
      if (regionBase < base) {
        this.splitAt(i, base);
      } else if (regionEnd > end) {
        // The lower part is looked at once more: it lies inside.
        this.splitAt(i--, end);
      } else {
        if (inside.end === 0) inside.start = i;
        inside.end = i + 1;
      }
    }
    return inside;
  }

  /** Merges touching equal neighbours among `first - 1` to `last`.  Linux: memblock_merge_regions. */
  merge(first: number, last: number): void {
    let i = first > 0 ? first - 1 : 0;
    let end = Math.min(last, this.count - 1);
    while (i < end) {
      const equal = this.node(i) === this.node(i + 1) && this.flags(i) === this.flags(i + 1);
      if (!equal || this.end(i) !== this.base(i + 1)) {
        i++;
        continue;
      }
      const grown = this.size(i) + this.size(i + 1);
      this.removeAt(i + 1);
      this.resize(i, this.base(i), grown);
      end--;
    }
  }

  /** Index of the region that holds `address`, or -1.  Linux: memblock_search. */
  search(address: number): number {
    let left = 0;
    let right = this.count;
    while (left < right) {
      const middle = (left + right) >> 1;
      if (address < this.base(middle)) right = middle;
      else if (address >= this.end(middle)) left = middle + 1;
      else return middle;
    }
    return -1;
  }

  /** Whether any region meets [base, base + size).  Linux: memblock_overlaps_region. */
  overlaps(base: number, size: number): boolean {
    const end = base + capSize(base, size);
    for (let i = 0; i < this.count; i++) {
      if (this.base(i) < end && base < this.end(i)) return true;
    }
    return false;
  }

  removeAt(i: number): void {
    this.addTotal(-this.size(i));
    for (let j = i + 1; j < this.count; j++)
      this.memory.copy(this.region(j - 1), this.region(j), REGION_WORDS);
    this.memory.write(this.at + type.count, this.count - 1);
  }

  /** Moves the list to a larger array. */
  moveTo(regions: Pointer, capacity: number): void {
    this.memory.copy(regions, this.regions, this.count * REGION_WORDS);
    this.memory.write(this.at + type.regions, regions);
    this.memory.write(this.at + type.capacity, capacity);
  }

  /** One round over the gaps of [base, end): counts them, or fills them. */
  private fillGaps(range: { base: number; end: number; node: number; flags: number; insert: boolean }) {
    const pieces = { added: 0, first: -1, last: 0 };
    let { base } = range;
    let i = 0;
    const fill = (to: number) => {
      pieces.added++;
      if (!range.insert) return;
      this.insertAt(i, { base, size: to - base, node: range.node, flags: range.flags });
      if (pieces.first < 0) pieces.first = i;
      pieces.last = ++i;
    };
    for (; i < this.count; i++) {
      const regionBase = this.base(i);
      if (regionBase >= range.end) break;
      if (this.end(i) <= base) continue;
      if (regionBase > base) fill(regionBase);
      base = Math.min(this.end(i), range.end);
    }
    if (base < range.end) fill(range.end);
    return pieces;
  }

  private insertAt(i: number, r: { base: number; size: number; node: number; flags: number }): void {
    for (let j = this.count; j > i; j--) this.memory.copy(this.region(j), this.region(j - 1), REGION_WORDS);
    const at = this.region(i);
    this.memory.writeFloat64(at + region.base, r.base);
    this.memory.writeFloat64(at + region.size, r.size);
    this.memory.write(at + region.flags, r.flags);
    this.memory.write(at + region.node, r.node);
    this.memory.write(this.at + type.count, this.count + 1);
    this.addTotal(r.size);
  }

  /** Makes two regions of region `i`: [base, border) at `i` and the rest at `i + 1`. */
  private splitAt(i: number, border: number): void {
    const lower = {
      base: this.base(i),
      size: border - this.base(i),
      node: this.node(i),
      flags: this.flags(i),
    };
    this.resize(i, border, this.end(i) - border);
    this.insertAt(i, lower);
  }

  private region(i: number): Pointer {
    return this.regions + i * REGION_WORDS;
  }

  private addTotal(bytes: number): void {
    this.memory.writeFloat64(this.at + type.totalBytes, this.totalBytes + bytes);
  }
}

/** A range that would pass the top of the address space ends there.  Linux: memblock_cap_size. */
function capSize(base: number, size: number): number {
  return Math.min(size, PHYS_ADDR_MAX - base);
}
