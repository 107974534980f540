/**
 * Objects on their way from one CPU to another: a ring with one CPU at each end, and a bell for each CPU.
 *
 * The end that changes a ring rings the other CPU's bell.  Who finds nothing to do in any of its rings sleeps until its
 * bell differs from what it was *before* the rings were looked at: nothing that comes in between is missed.
 *
 * A ring's slots are plain: they are handed over by the marked store of `head`, and back by that of `tail`.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Kernel } from "../../machine/kernel.ts";
import type { Memory } from "../../memory/memory.ts";
import { array, struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { freeScratch, takeScratch } from "./scratch.ts";

export const RING_SLOTS = 256;
const LINE_WORDS = 16;

const Ring = struct("object_ring", {
  /** Objects ever put in; the sender's line. */
  head: word("atomic", "counter"),
  /** Nothing more will come. */
  closed: word("atomic"),
  senderPad: array(LINE_WORDS - 2, "boot"),
  /** Objects ever taken out; the receiver's line. */
  tail: word("atomic", "counter"),
  receiverPad: array(LINE_WORDS - 1, "boot"),
  slots: array(RING_SLOTS, "holder", "pointer:object"),
});
const RING_WORDS = 2 * LINE_WORDS + RING_SLOTS;
const Bell = struct("bell", { rung: word("atomic", "counter"), pad: array(LINE_WORDS - 1, "boot") });
const ring = Ring;

/** Rings and bells in RAM, the same on every CPU: plain data. */
export interface RingRoom {
  readonly start: Pointer;
  readonly rings: number;
}

const wordsOf = (kernel: Kernel, rings: number): number => kernel.cpus * LINE_WORDS + rings * RING_WORDS;

export const takeRings = (kernel: Kernel, rings: number): RingRoom => ({
  start: takeScratch(kernel, wordsOf(kernel, rings)),
  rings,
});

export const freeRings = (kernel: Kernel, { start, rings }: RingRoom): void =>
  freeScratch(kernel, start, wordsOf(kernel, rings));

export function nameRings({ regions, cpus }: Kernel, { start, rings }: RingRoom): void {
  regions.add("bell", start, Bell, cpus);
  regions.add("object_ring", start + cpus * LINE_WORDS, Ring, rings);
}

/** This CPU's bell. */
export class OwnBell {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly at: Pointer;

  constructor({ memory, cpu }: Kernel, { start }: RingRoom) {
    this.cpu = cpu;
    this.memory = memory;
    this.at = start + cpu.id * LINE_WORDS;
  }

  /** To be read before the rings are looked at. */
  read(): number {
    return this.memory.load(this.at);
  }

  waitPast(seen: number): void {
    this.cpu.beforeSleep();
    this.memory.waitWhile(this.at, -1, seen);
  }
}

/** One end of a ring, as its CPU sees it. */
class RingEnd {
  protected readonly memory: Memory;
  protected readonly at: Pointer;
  /** Objects that this end has ever moved, and those that the other had when it was last asked. */
  protected own = 0;
  protected theirs = 0;
  private readonly bell: Pointer;

  constructor({ memory, cpus }: Kernel, room: RingRoom, number: number, other: number) {
    this.memory = memory;
    this.at = room.start + cpus * LINE_WORDS + number * RING_WORDS;
    this.bell = room.start + other * LINE_WORDS;
  }

  protected ring(): void {
    this.memory.add(this.bell, 1);
    this.memory.wake(this.bell);
  }
}

export class RingSender extends RingEnd {
  /** Whether `atLeast` objects can be put in. */
  room(atLeast: number): boolean {
    if (RING_SLOTS - ((this.own - this.theirs) | 0) >= atLeast) return true;
    this.theirs = this.memory.load(this.at + ring.tail);
    return RING_SLOTS - ((this.own - this.theirs) | 0) >= atLeast;
  }

  /** The other end has taken, and is done with, all that was sent. */
  get isEmpty(): boolean {
    return this.memory.load(this.at + ring.tail) === this.own;
  }

  put(object: Pointer): void {
    this.memory.write(this.at + ring.slots + (this.own & (RING_SLOTS - 1)), object);
    this.own = (this.own + 1) | 0;
  }

  /** Hands over what was put in. */
  send(): void {
    this.memory.store(this.at + ring.head, this.own);
    this.ring();
  }

  close(): void {
    this.memory.store(this.at + ring.closed, 1);
    this.ring();
  }
}

export class RingReceiver extends RingEnd {
  /** Nothing is left, and nothing will come. */
  get isAtEnd(): boolean {
    // In this order: what was sent before the end is seen.
    const closed = this.memory.load(this.at + ring.closed) !== 0;
    return this.waiting() === 0 && closed;
  }

  /** Objects that wait to be taken. */
  waiting(): number {
    this.theirs = this.memory.load(this.at + ring.head);
    return (this.theirs - this.own) | 0;
  }

  take(): Pointer {
    const object = this.memory.read(this.at + ring.slots + (this.own & (RING_SLOTS - 1)));
    this.own = (this.own + 1) | 0;
    return object;
  }

  /** Gives back the slots of what was taken, when the work on it is done. */
  release(): void {
    this.memory.store(this.at + ring.tail, this.own);
    this.ring();
  }
}
