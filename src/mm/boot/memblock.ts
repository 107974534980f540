/**
 * memblock: which physical memory exists and which is taken, before the page allocator runs.
 *
 * Two lists of ranges in RAM, `memory` and `reserved`.  A list that fills up moves to an array twice as large, which
 * memblock allocates from itself.  Only the boot CPU calls this; there is no lock.
 *
 * Invariants
 *   I1  R1 to R4 of each list (memblock-regions.ts)
 *   I2  an array that is not the static one is itself reserved
 *
 * Linux: mm/memblock.c.  Differs: kept after boot, as with ARCH_KEEP_MEMBLOCK; an added range without a node has NO_NODE.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { embed, float64, struct, word, wordsIn } from "../../memory/struct.ts";
import { alignDown, alignUp, PAGE_BYTES, type Pointer, pointerOf, WORD_BYTES } from "../../memory/units.ts";
import { type FreeRange, findFree, freeRanges, MemblockFlag, type RangeFilter } from "./memblock-ranges.ts";
import {
  INIT_REGIONS,
  MemblockRegion,
  MemblockType,
  NO_NODE,
  PHYS_ADDR_MAX,
  RegionArray,
} from "./memblock-regions.ts";

export const MemblockState = struct("memblock", {
  bottomUp: word("boot", "flags"),
  canResize: word("boot", "flags"),
  movableNode: word("boot", "flags"),
  /** Allocations without an upper bound stay below it: the end of directly mapped memory. */
  currentLimit: float64("boot"),
  memory: embed(MemblockType, "boot"),
  reserved: embed(MemblockType, "boot"),
  staticMemory: embed(MemblockRegion, "boot", INIT_REGIONS),
  staticReserved: embed(MemblockRegion, "boot", INIT_REGIONS),
});
const REGION_WORDS = wordsIn(MemblockRegion);

const state = MemblockState;
const flag = MemblockFlag;

export class Memblock {
  readonly memory: RegionArray;
  readonly reserved: RegionArray;
  /** Simulated RAM, where the lists are and what is allocated is zeroed. */
  readonly ram: Memory;
  private readonly at: Pointer;

  /** Binds to the memblock at `at`. */
  constructor(ram: Memory, at: Pointer) {
    this.ram = ram;
    this.at = at;
    this.memory = new RegionArray(ram, at + state.memory, "memory", () => this.grow(this.memory, 0, 0));
    this.reserved = new RegionArray(ram, at + state.reserved, "reserved", (start, bytes) =>
      this.grow(this.reserved, start, bytes),
    );
  }

  /** Both lists empty, top-down, no limit, no growth yet. */
  format(): void {
    this.ram.fill(this.at, wordsIn(MemblockState), 0);
    this.setCurrentLimit(PHYS_ADDR_MAX);
    this.memory.format(this.at + state.staticMemory, INIT_REGIONS);
    this.reserved.format(this.at + state.staticReserved, INIT_REGIONS);
  }

  // ---- what exists, what is taken (false: the list is full and cannot grow) ----

  /** Linux: memblock_add. */
  add(base: number, size: number): boolean {
    return this.memory.addRange(base, size, NO_NODE, flag.NONE);
  }

  /** Linux: memblock_add_node. */
  addNode(base: number, size: number, node: number, flags = flag.NONE as number): boolean {
    return this.memory.addRange(base, size, node, flags);
  }

  /** Linux: memblock_remove. */
  remove(base: number, size: number): boolean {
    return this.memory.removeRange(base, size);
  }

  /** Linux: memblock_reserve. */
  reserve(base: number, size: number): boolean {
    return this.reserved.addRange(base, size, NO_NODE, flag.NONE);
  }

  /** Takes a reservation back.  Linux: memblock_phys_free. */
  free(base: number, size: number): boolean {
    return this.reserved.removeRange(base, size);
  }

  /** Gives [base, base + size) of `list` to `node`.  Linux: memblock_set_node. */
  setNode(list: RegionArray, base: number, size: number, node: number): boolean {
    const inside = list.isolate(base, size);
    if (inside === null) return false;
    for (let i = inside.start; i < inside.end; i++) list.setNode(i, node);
    list.merge(inside.start, inside.end);
    return true;
  }

  /** Sets or clears flags of memory, splitting and merging regions.  Linux: memblock_setclr_flag. */
  mark(base: number, size: number, flags: number, set = true): boolean {
    return this.markList(this.memory, { base, size }, flags, set);
  }

  /** Its page structures stay uninitialised.  Linux: memblock_reserved_mark_noinit. */
  markNoInit(base: number, size: number): boolean {
    return this.markList(this.reserved, { base, size }, flag.RSRV_NOINIT, true);
  }

  // ---- questions ----

  isMemory(address: number): boolean {
    return this.memory.search(address) >= 0;
  }

  /** Memory in the direct map.  Linux: memblock_is_map_memory. */
  isMapMemory(address: number): boolean {
    const i = this.memory.search(address);
    return i >= 0 && (this.memory.flags(i) & flag.NOMAP) === 0;
  }

  isReserved(address: number): boolean {
    return this.reserved.search(address) >= 0;
  }

  /** Whether one memory region holds all of [base, base + size). */
  isRegionMemory(base: number, size: number): boolean {
    const i = this.memory.search(base);
    return i >= 0 && base + size <= this.memory.end(i);
  }

  /** Whether any of [base, base + size) is reserved.  Linux: memblock_is_region_reserved. */
  isRegionReserved(base: number, size: number): boolean {
    return this.reserved.overlaps(base, size);
  }

  startOfMemory(): number {
    return this.memory.count > 0 ? this.memory.base(0) : 0;
  }

  endOfMemory(): number {
    return this.memory.count > 0 ? this.memory.end(this.memory.count - 1) : 0;
  }

  /** Node of an address, NO_NODE where there is no memory. */
  nodeOf(address: number): number {
    const i = this.memory.search(address);
    return i < 0 ? NO_NODE : this.memory.node(i);
  }

  /** Free ranges, ascending.  Linux: for_each_free_mem_range. */
  freeRanges(node = NO_NODE, flags = flag.NONE as number): Generator<FreeRange> {
    return freeRanges(this.filter(node, flags));
  }

  /** What a search for free memory of `node` looks at. */
  filter(node: number, flags: number): RangeFilter {
    const movableNode = this.ram.read(this.at + state.movableNode) !== 0;
    return { memory: this.memory, reserved: this.reserved, node, flags, movableNode };
  }

  /** Flags to search with, the preferred ones first: mirrored memory, if there is any, then all. */
  preferredFlags(): readonly number[] {
    for (let i = 0; i < this.memory.count; i++) {
      if ((this.memory.flags(i) & flag.MIRROR) !== 0) return [flag.MIRROR, flag.NONE];
    }
    return [flag.NONE];
  }

  // ---- trimming ----

  /** Shrinks every memory region to multiples of `align`, removing what is less.  Linux: memblock_trim_memory. */
  trimMemory(align: number): void {
    let previousEnd = 0;
    for (let i = 0; i < this.memory.count; i++) {
      const start = Math.max(alignUp(this.memory.base(i), align), previousEnd);
      const end = alignDown(this.memory.end(i), align);
      if (start < end) {
        this.memory.resize(i, start, end - start);
        previousEnd = end;
      } else {
        this.memory.removeAt(i--);
      }
    }
  }

  /** Keeps the first `limitBytes` of memory, counted over holes.  Linux: memblock_enforce_memory_limit, mem=. */
  enforceLimit(limitBytes: number): boolean {
    let left = limitBytes;
    for (let i = 0; i < this.memory.count; i++) {
      if (left <= this.memory.size(i)) return this.cutAbove(this.memory.base(i) + left);
      left -= this.memory.size(i);
    }
    return true;
  }

  /** Keeps only [base, base + size), and NOMAP regions wherever they are.  Linux: memblock_cap_memory_range. */
  capMemory(base: number, size: number): boolean {
    const inside = this.memory.isolate(base, size);
    if (inside === null) return false;
    for (let i = this.memory.count - 1; i >= 0; i--) {
      const isKept = i >= inside.start && i < inside.end;
      if (!isKept && (this.memory.flags(i) & flag.NOMAP) === 0) this.memory.removeAt(i);
    }
    return this.reserved.removeRange(0, base) && this.reserved.removeRange(base + size, PHYS_ADDR_MAX);
  }

  // ---- modes ----

  get bottomUp(): boolean {
    return this.ram.read(this.at + state.bottomUp) !== 0;
  }
  setBottomUp(enable: boolean): void {
    this.ram.write(this.at + state.bottomUp, enable ? 1 : 0);
  }
  get currentLimit(): number {
    return this.ram.readFloat64(this.at + state.currentLimit);
  }
  setCurrentLimit(limit: number): void {
    this.ram.writeFloat64(this.at + state.currentLimit, limit);
  }
  /** From here on full lists may grow: memory is known well enough.  Linux: memblock_allow_resize. */
  allowResize(): void {
    this.ram.write(this.at + state.canResize, 1);
  }
  setMovableNode(enable: boolean): void {
    this.ram.write(this.at + state.movableNode, enable ? 1 : 0);
  }

  /** Tests I1 and I2. */
  check(): void {
    for (const list of [this.memory, this.reserved]) {
      checkRegions(list);
      const isStatic =
        list.regions === this.at + state.staticMemory || list.regions === this.at + state.staticReserved;
      if (isStatic) continue;
      const start = list.regions * WORD_BYTES;
      const i = this.reserved.search(start);
      if (i < 0 || this.reserved.end(i) < start + list.capacity * REGION_WORDS * WORD_BYTES)
        bug(`memblock.${list.name}: its array of ${list.capacity} regions at ${hex(start)} is not reserved`);
    }
  }

  private markList(
    list: RegionArray,
    range: { base: number; size: number },
    flags: number,
    set: boolean,
  ): boolean {
    const inside = list.isolate(range.base, range.size);
    if (inside === null) return false;
    for (let i = inside.start; i < inside.end; i++) {
      list.setFlags(i, set ? list.flags(i) | flags : list.flags(i) & ~flags);
    }
    list.merge(inside.start, inside.end);
    return true;
  }

  private cutAbove(address: number): boolean {
    return (
      this.memory.removeRange(address, PHYS_ADDR_MAX) && this.reserved.removeRange(address, PHYS_ADDR_MAX)
    );
  }

  /**
   * Moves `list` to an array twice as large, which must not lie in the range that is being reserved: above it if there
   * is room, else below.  Linux: memblock_double_array.
   */
  private grow(list: RegionArray, newAreaStart: number, newAreaBytes: number): boolean {
    if (this.ram.read(this.at + state.canResize) === 0) return false;
    const capacity = list.capacity * 2;
    const size = alignUp(capacity * REGION_WORDS * WORD_BYTES, PAGE_BYTES);
    const limit = this.currentLimit;
    const find = (start: number, end: number) => {
      const search = { size, align: PAGE_BYTES, start, end };
      for (const flags of this.preferredFlags()) {
        const found = findFree(this.filter(NO_NODE, flags), search, this.bottomUp);
        if (found !== 0) return found;
      }
      return 0;
    };
    let place = find(newAreaStart + newAreaBytes, limit);
    if (place === 0 && newAreaBytes > 0) place = find(0, Math.min(newAreaStart, limit));
    if (place === 0) return false;
    const old = list.regions;
    const oldBytes = alignUp(list.capacity * REGION_WORDS * WORD_BYTES, PAGE_BYTES);
    list.moveTo(pointerOf(place), capacity);
    const wasStatic = old === this.at + state.staticMemory || old === this.at + state.staticReserved;
    if (!wasStatic && !this.free(old * WORD_BYTES, oldBytes)) return false;
    if (!this.reserve(place, size))
      bug(`memblock: cannot reserve the grown ${list.name} list at ${hex(place)}`);
    return true;
  }
}

/** Tests R1 to R4 of one list. */
function checkRegions(list: RegionArray): void {
  let total = 0;
  for (let i = 0; i < list.count; i++) {
    const where = `memblock.${list.name}[${i}] ${hex(list.base(i))} + ${list.size(i)}`;
    total += list.size(i);
    if (!(list.size(i) > 0)) bug(`${where}: is empty`);
    if (i === 0) continue;
    if (list.end(i - 1) > list.base(i))
      bug(`${where}: overlaps the region before, which ends at ${hex(list.end(i - 1))}`);
    const equal = list.node(i - 1) === list.node(i) && list.flags(i - 1) === list.flags(i);
    if (equal && list.end(i - 1) === list.base(i)) bug(`${where}: should have merged with the region before`);
  }
  if (total !== list.totalBytes)
    bug(`memblock.${list.name}: total ${list.totalBytes}, regions sum to ${total}`);
  if (list.count > list.capacity) bug(`memblock.${list.name}: ${list.count} regions of ${list.capacity}`);
}

const hex = (address: number): string => `0x${address.toString(16)}`;
