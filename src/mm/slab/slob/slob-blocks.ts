/**
 * Free blocks inside one page of SLOB, in units of two bytes.
 *
 * A free block says in its first unit how long it is and in its second where the next one begins, both in units, the
 * latter from the start of the page; END after the last.  A block of one unit has only room for where the next one
 * begins, and says it as a negative number.  Blocks are in the order of addresses, and no two touch.
 *
 * A unit is read and written as two bytes: the other half of its word may be in use by somebody else.
 *
 * Linux 6.3: mm/slob.c set_slob, slob_units, slob_next, slob_last, slob_page_alloc, slob_free.
 */

import type { Memory } from "../../../memory/memory.ts";
import { alignUp, PAGE_BYTES, WORD_BYTES } from "../../../memory/units.ts";
import type { PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { SlabBacking } from "../slab-backing.ts";

const slabField = SlabPage;
/** Linux: SLOB_UNIT. */
export const UNIT_BYTES = 2;
/** Units of a page. */
export const PAGE_UNITS = PAGE_BYTES / UNIT_BYTES;
/** What follows the last free block. */
export const END = PAGE_UNITS;

/** Linux: SLOB_UNITS. */
export const unitsOf = (bytes: number): number => Math.ceil(bytes / UNIT_BYTES);

export class SlobBlocks {
  declare private readonly memory: Memory;
  declare private readonly backing: SlabBacking;

  constructor(backing: SlabBacking) {
    this.memory = backing.memory;
    this.backing = backing;
  }

  /** Makes a page one free block. */
  format(slab: PageRef): void {
    const { memory } = this;
    memory.write(slab + slabField.active, PAGE_UNITS);
    memory.write(slab + slabField.freelist, 0);
    this.set(slab, 0, PAGE_UNITS, END);
  }

  /**
   * The first free block of a page that has room for `bytes` so that what lies `offsetBytes` behind its start is aligned;
   * its byte in the page, or -1.  @holds slob_lock
   */
  take(slab: PageRef, bytes: number, alignBytes: number, offsetBytes: number): number {
    const { memory } = this;
    const units = unitsOf(bytes);
    let previous = -1;
    for (let at = memory.read(slab + slabField.freelist); at !== END; ) {
      const start = this.aligned(at, alignBytes, offsetBytes);
      const skipped = start - at;
      const room = this.units(slab, at);
      if (room >= units + skipped) {
        const next = this.next(slab, at);
        // What lies before the aligned start stays a free block.
        if (skipped > 0) {
          this.set(slab, at, skipped, start);
          previous = at;
        }
        const left = room - skipped - units;
        const follows = left > 0 ? start + units : next;
        if (left > 0) this.set(slab, follows, left, next);
        if (previous >= 0) this.set(slab, previous, this.units(slab, previous), follows);
        else memory.write(slab + slabField.freelist, follows);
        memory.write(slab + slabField.active, memory.read(slab + slabField.active) - units);
        return start * UNIT_BYTES;
      }
      previous = at;
      at = this.next(slab, at);
    }
    return -1;
  }

  /** The only free block of a page that was full.  @holds slob_lock */
  putFirst(slab: PageRef, at: number, units: number): void {
    const { memory } = this;
    memory.write(slab + slabField.active, units);
    memory.write(slab + slabField.freelist, at);
    this.set(slab, at, units, END);
  }

  /** Frees `units` from `at` on, merged with the free blocks that they touch.  @holds slob_lock */
  put(slab: PageRef, at: number, units: number): void {
    const { memory } = this;
    memory.write(slab + slabField.active, memory.read(slab + slabField.active) + units);
    const first = memory.read(slab + slabField.freelist);
    if (at < first) {
      memory.write(slab + slabField.freelist, at);
      this.setMerged(slab, at, units, first);
      return;
    }
    let previous = first;
    let next = this.next(slab, previous);
    while (at > next) {
      previous = next;
      next = this.next(slab, previous);
    }
    this.setMerged(slab, at, units, next);
    const before = this.units(slab, previous);
    if (previous + before === at)
      this.set(slab, previous, before + this.units(slab, at), this.next(slab, at));
    else this.set(slab, previous, before, at);
  }

  /** Length of a free block. */
  units(slab: PageRef, at: number): number {
    const value = this.readUnit(slab, at);
    return value > 0 ? value : 1;
  }

  /** The free block after it, or END. */
  next(slab: PageRef, at: number): number {
    const value = this.readUnit(slab, at);
    return value < 0 ? -value : this.readUnit(slab, at + 1);
  }

  /** A free block that takes in the next one if they touch. */
  private setMerged(slab: PageRef, at: number, units: number, next: number): void {
    if (next !== END && at + units === next)
      this.set(slab, at, units + this.units(slab, next), this.next(slab, next));
    else this.set(slab, at, units, next);
  }

  private set(slab: PageRef, at: number, units: number, next: number): void {
    if (units > 1) {
      this.writeUnit(slab, at, units);
      this.writeUnit(slab, at + 1, next);
    } else this.writeUnit(slab, at, -next);
  }

  private aligned(at: number, alignBytes: number, offsetBytes: number): number {
    if (alignBytes <= UNIT_BYTES) return at;
    return (alignUp(at * UNIT_BYTES + offsetBytes, alignBytes) - offsetBytes) / UNIT_BYTES;
  }

  private readUnit(slab: PageRef, at: number): number {
    const { memory } = this;
    const byte = this.byteOf(slab, at);
    const value = memory.readByte(byte) | (memory.readByte(byte + 1) << 8);
    return (value << 16) >> 16;
  }

  private writeUnit(slab: PageRef, at: number, value: number): void {
    const { memory } = this;
    const byte = this.byteOf(slab, at);
    memory.writeByte(byte, value & 0xff);
    memory.writeByte(byte + 1, (value >> 8) & 0xff);
  }

  private byteOf(slab: PageRef, at: number): number {
    return this.backing.baseOf(slab) * WORD_BYTES + at * UNIT_BYTES;
  }
}
