/**
 * The blocks that one CPU holds, stamped so that a frame given to two owners, or written by a stranger, is noticed.
 *
 * Every frame of a block carries the block's nonce, a mix of nonce and frame number behind it, and the mix's complement
 * in its last word.  Who frees a block, or passes it on, looks at all of them first.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, frameOf, type Pfn, type Pointer } from "../../memory/units.ts";

const NONCE = 0;
const MIX = 1;
const COMPLEMENT = FRAME_WORDS - 1;
/** Frames up to this many are tested for zeros word by word, larger blocks at a stride. */
const WHOLE_FRAMES = 4;
const STRIDE = 61;

export class StampedBlocks {
  /** Blocks held now, and their frames. */
  count = 0;
  frames = 0;
  private readonly memory: Memory;
  private readonly cpu: number;
  private readonly held: Pfn[];
  private readonly orders: number[];
  private readonly nonces: number[];
  private serial = 0;

  /** Room for `limit` blocks. */
  constructor(kernel: Kernel, limit: number) {
    this.memory = kernel.memory;
    this.cpu = kernel.cpu.id;
    this.held = new Array(limit).fill(0);
    this.orders = new Array(limit).fill(0);
    this.nonces = new Array(limit).fill(0);
  }

  get isFull(): boolean {
    return this.count === this.held.length;
  }

  /** Takes a new block in and stamps it. */
  add(pfn: Pfn, order: number): void {
    const { count } = this;
    if ((pfn & ((1 << order) - 1)) !== 0) bug(`a block of order ${order} begins at pfn ${pfn}`);
    const nonce = (Math.imul(++this.serial, 0x9e3779b1) ^ Math.imul(this.cpu + 1, 0x85ebca6b)) | 1;
    const start = frameOf(pfn);
    for (let i = 0; i < 1 << order; i++) this.stamp(start + i * FRAME_WORDS, pfn + i, nonce);
    this.held[count] = pfn;
    this.orders[count] = order;
    this.nonces[count] = nonce;
    this.count++;
    this.frames += 1 << order;
  }

  /** Takes in a block that another CPU has stamped. */
  adopt(pfn: Pfn, order: number): void {
    const { count } = this;
    const nonce = this.memory.read(frameOf(pfn) + NONCE);
    this.verify(pfn, order, nonce);
    this.held[count] = pfn;
    this.orders[count] = order;
    this.nonces[count] = nonce;
    this.count++;
    this.frames += 1 << order;
  }

  /** The order of block `index`. */
  orderOf(index: number): number {
    return this.orders[index];
  }

  /** Verifies block `index` and lets go of it: the last one takes its place. */
  remove(index: number): Pfn {
    const pfn = this.held[index];
    const last = --this.count;
    this.verify(pfn, this.orders[index], this.nonces[index]);
    this.frames -= 1 << this.orders[index];
    this.held[index] = this.held[last];
    this.orders[index] = this.orders[last];
    this.nonces[index] = this.nonces[last];
    return pfn;
  }

  /** Verifies that a block asked for with __GFP_ZERO is zero. */
  verifyZero(pfn: Pfn, order: number): void {
    const start = frameOf(pfn);
    const step = 1 << order <= WHOLE_FRAMES ? 1 : STRIDE;
    for (let i = 0; i < FRAME_WORDS << order; i += step) {
      const found = this.memory.read(start + i);
      if (found !== 0)
        bug(`${this.name(pfn, order)} is not zero: word ${i} is 0x${(found >>> 0).toString(16)}`);
    }
  }

  private stamp(frame: Pointer, pfn: number, nonce: number): void {
    const { memory } = this;
    const mix = mixOf(nonce, pfn);
    memory.write(frame + NONCE, nonce);
    memory.write(frame + MIX, mix);
    memory.write(frame + COMPLEMENT, ~mix);
  }

  private verify(pfn: Pfn, order: number, nonce: number): void {
    const { memory } = this;
    const start = frameOf(pfn);
    for (let i = 0; i < 1 << order; i++) {
      const frame = start + i * FRAME_WORDS;
      const mix = mixOf(nonce, pfn + i);
      if (
        memory.read(frame + NONCE) !== nonce ||
        memory.read(frame + MIX) !== mix ||
        memory.read(frame + COMPLEMENT) !== ~mix
      ) {
        bug(
          `${this.name(pfn, order)}: the stamp of pfn ${pfn + i} is not its owner's: nonce ` +
            `0x${(memory.read(frame + NONCE) >>> 0).toString(16)}, expected 0x${(nonce >>> 0).toString(16)}`,
        );
      }
    }
  }

  private name(pfn: Pfn, order: number): string {
    return `cpu ${this.cpu}: block of order ${order} at pfn ${pfn}`;
  }
}

const mixOf = (nonce: number, pfn: number): number =>
  Math.imul(nonce ^ Math.imul(pfn, 0x27d4eb2f), 0x165667b1);
