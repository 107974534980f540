/**
 * Bits in words of RAM, accessed plainly: whoever changes them holds the lock that guards them.
 *
 * Linux: lib/bitmap.c, lib/find_bit.c.
 */

import type { Memory } from "./memory.ts";
import type { Pointer } from "./units.ts";

export class Bitmap {
  readonly bits: number;
  private readonly memory: Memory;
  private readonly base: Pointer;

  /** `bits` bits from word `base` on. */
  constructor(memory: Memory, base: Pointer, bits: number) {
    this.memory = memory;
    this.base = base;
    this.bits = bits;
  }

  has(bit: number): boolean {
    return (this.memory.read(this.base + (bit >> 5)) & (1 << (bit & 31))) !== 0;
  }

  set(bit: number): void {
    const at = this.base + (bit >> 5);
    this.memory.write(at, this.memory.read(at) | (1 << (bit & 31)));
  }

  clear(bit: number): void {
    const at = this.base + (bit >> 5);
    this.memory.write(at, this.memory.read(at) & ~(1 << (bit & 31)));
  }

  setRange(start: number, count: number): void {
    this.change(start, count, -1);
  }

  clearRange(start: number, count: number): void {
    this.change(start, count, 0);
  }

  /** The first 1 at or after `from`, or `bits`. */
  nextSet(from: number): number {
    return this.next(from, 0);
  }

  /** The first 0 at or after `from`, or `bits`. */
  nextClear(from: number): number {
    return this.next(from, -1);
  }

  /** The last 1 before `from`, or -1. */
  lastSetBefore(from: number): number {
    if (from <= 0) return -1;
    let w = (from - 1) >> 5;
    let word = this.memory.read(this.base + w) & (-1 >>> (31 - ((from - 1) & 31)));
    while (word === 0) {
      if (--w < 0) return -1;
      word = this.memory.read(this.base + w);
    }
    return (w << 5) + 31 - Math.clz32(word);
  }

  private next(from: number, flip: number): number {
    const { memory, base, bits } = this;
    if (from >= bits) return bits;
    let w = from >> 5;
    let word = (memory.read(base + w) ^ flip) & (-1 << (from & 31));
    const last = (bits - 1) >> 5;
    while (word === 0) {
      if (++w > last) return bits;
      word = memory.read(base + w) ^ flip;
    }
    return Math.min(bits, (w << 5) + 31 - Math.clz32(word & -word));
  }

  private change(start: number, count: number, to: number): void {
    const { memory, base } = this;
    for (let bit = start; bit < start + count; ) {
      const inWord = Math.min(32 - (bit & 31), start + count - bit);
      const mask = inWord === 32 ? -1 : ((1 << inWord) - 1) << (bit & 31);
      const at = base + (bit >> 5);
      memory.write(at, (memory.read(at) & ~mask) | (to & mask));
      bit += inWord;
    }
  }
}
