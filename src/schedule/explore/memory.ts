/**
 * Memory of the explore mode: every access is a step, before which the strategy may run another CPU.
 *
 * Writes note the frames they dirty, so that the next execution starts from the snapshot at the cost of what this one
 * touched.  On a machine that traces (a replay), each step is logged with its address and values.
 */

import { bug } from "../../memory/bug.ts";
import { CpuControl, cpuControl } from "../../memory/control.ts";
import { halfOf, withHalf } from "../../memory/half-word.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { TraceEvent } from "../../memory/trace.ts";
import { LINE_WORDS, PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import { DIRTY, type DirtyPages } from "./dirty-pages.ts";
import { exploreCpu, exploreCpuBase, Status } from "./state.ts";
import type { StepLog } from "./step-log.ts";
import type { ExploreTurn } from "./turn.ts";

const tracing = shape.trace;
const FRAME_SHIFT = 10;
const E = TraceEvent;

const LINE_MASK = LINE_WORDS - 1;
/** The end of the cache line of a word, and its start, not before `first`. */
const lineEnd = (at: Pointer): Pointer => (at | LINE_MASK) + 1;
const lineStart = (at: Pointer, first: Pointer): Pointer => Math.max(at & ~LINE_MASK, first);
const wordOf = (byteAddress: number): Pointer => Math.floor(byteAddress / 4);

export interface ExploreMemoryParts {
  readonly ram: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly cpu: number;
  readonly cpus: number;
  readonly turn: ExploreTurn;
  readonly dirty: DirtyPages;
}

export class ExploreMemory implements Memory {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly doubles: Float64Array;
  private readonly control: Int32Array;
  private readonly turn: ExploreTurn;
  private readonly dirty: DirtyPages;
  private readonly flags: Uint8Array;
  private readonly cpu: number;
  private readonly cpus: number;
  private log: StepLog | null = null;

  constructor(parts: ExploreMemoryParts) {
    this.words = new Int32Array(parts.ram);
    this.bytes = new Uint8Array(parts.ram);
    this.doubles = new Float64Array(parts.ram);
    this.control = parts.control;
    this.turn = parts.turn;
    this.dirty = parts.dirty;
    this.flags = parts.dirty.flags;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
  }

  /** Where steps are recorded, on a machine that traces. */
  logTo(log: StepLog): void {
    this.log = log;
  }

  read(address: Pointer): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const value = this.words[address];
    if (tracing) this.log?.add(E.READ, address, value, value);
    return value;
  }
  write(address: Pointer, value: number): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    if (tracing) this.log?.add(E.WRITE, address, this.words[address], value);
    this.words[address] = value;
  }
  readByte(byteAddress: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const value = this.bytes[byteAddress];
    if (tracing) this.log?.add(E.READ_BYTE, wordOf(byteAddress), value, value);
    return value;
  }
  writeByte(byteAddress: number, value: number): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = (byteAddress / PAGE_BYTES) | 0;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    if (tracing) this.log?.add(E.WRITE_BYTE, wordOf(byteAddress), this.bytes[byteAddress], value);
    this.bytes[byteAddress] = value;
  }
  readFloat64(address: Pointer): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const value = this.doubles[address >> 1];
    if (tracing) this.log?.add(E.READ, address, value, value);
    return value;
  }
  writeFloat64(address: Pointer, value: number): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    if (tracing) this.log?.add(E.WRITE, address, this.doubles[address >> 1], value);
    this.doubles[address >> 1] = value;
  }

  load(address: Pointer): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const value = this.words[address];
    if (tracing) this.log?.add(E.LOAD, address, value, value);
    return value;
  }
  store(address: Pointer, value: number): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    if (tracing) this.log?.add(E.STORE, address, this.words[address], value);
    this.words[address] = value;
  }
  cas(address: Pointer, expected: number, replacement: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    if (found === (expected | 0)) this.words[address] = replacement;
    if (tracing) this.log?.add(E.CAS, address, found, this.words[address]);
    return found;
  }
  add(address: Pointer, value: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    this.words[address] = found + value;
    if (tracing) this.log?.add(E.ADD, address, found, this.words[address]);
    return found;
  }
  and(address: Pointer, value: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    this.words[address] = found & value;
    if (tracing) this.log?.add(E.AND, address, found, this.words[address]);
    return found;
  }
  or(address: Pointer, value: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    this.words[address] = found | value;
    if (tracing) this.log?.add(E.OR, address, found, this.words[address]);
    return found;
  }
  exchange(address: Pointer, value: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    this.words[address] = value;
    if (tracing) this.log?.add(E.EXCHANGE, address, found, this.words[address]);
    return found;
  }
  loadByte(byteAddress: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const value = this.bytes[byteAddress];
    if (tracing) this.log?.add(E.LOAD_BYTE, wordOf(byteAddress), value, value);
    return value;
  }
  storeByte(byteAddress: number, value: number): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = (byteAddress / PAGE_BYTES) | 0;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    if (tracing) this.log?.add(E.STORE_BYTE, wordOf(byteAddress), this.bytes[byteAddress], value);
    this.bytes[byteAddress] = value;
  }
  casByte(byteAddress: number, expected: number, replacement: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = (byteAddress / PAGE_BYTES) | 0;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.bytes[byteAddress];
    if (found === expected) this.bytes[byteAddress] = replacement;
    if (tracing) this.log?.add(E.CAS_BYTE, wordOf(byteAddress), found, this.bytes[byteAddress]);
    return found;
  }
  exchangeHalf(byteAddress: number, value: number): number {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const address = wordOf(byteAddress);
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
    const found = this.words[address];
    this.words[address] = withHalf(found, byteAddress, value);
    if (tracing) this.log?.add(E.EXCHANGE, address, found, this.words[address]);
    return halfOf(found, byteAddress);
  }

  // Bulk: a step a cache line, for another CPU may look at a page half copied.
  fill(address: Pointer, words: number, value: number): void {
    this.checkRange(address, words);
    if (tracing) this.log?.addBulk(E.FILL, address, words);
    const end = address + words;
    for (let at = address; at < end; ) {
      const next = Math.min(lineEnd(at), end);
      this.writePoint(at);
      this.words.fill(value, at, next);
      at = next;
    }
  }
  copy(to: Pointer, from: Pointer, words: number): void {
    this.checkRange(to, words);
    this.checkRange(from, words);
    if (tracing) this.log?.addBulk(E.COPY, to, words);
    // Backwards where the areas overlap that way, as copyWithin does.
    const isBackward = from < to;
    for (let left = words; left > 0; ) {
      const at = isBackward ? lineStart(to + left - 1, to) : to + words - left;
      const count = isBackward ? to + left - at : Math.min(lineEnd(at) - at, left);
      this.writePoint(at);
      this.words.copyWithin(at, from + at - to, from + at - to + count);
      left -= count;
    }
  }
  compare(a: Pointer, b: Pointer, words: number): number {
    for (let i = 0; i < words; i++) {
      if ((i & LINE_MASK) === 0 && ++this.turn.step >= this.turn.next) this.turn.decide();
      const x = this.words[a + i];
      const y = this.words[b + i];
      if (x !== y) return x < y ? -1 : 1;
    }
    return 0;
  }

  work(_kind: number, _count: number): void {}
  touchLines(_address: Pointer, _lines: number): void {}

  waitWhile(address: Pointer, mask: number, value: number, timeoutNs = Infinity): boolean {
    const { words, turn, control } = this;
    const self = cpuControl(this.cpu);
    for (;;) {
      if (++turn.step >= turn.next) turn.decide();
      turn.pollInterrupts();
      if (tracing) this.log?.add(E.WAIT, address, words[address], words[address]);
      if ((words[address] & mask) !== value) return true;
      const outer = control[self + CpuControl.waitAddress];
      const outerMask = control[self + CpuControl.waitMask];
      const outerValue = control[self + CpuControl.waitValue];
      control[self + CpuControl.waitAddress] = address;
      control[self + CpuControl.waitMask] = mask;
      control[self + CpuControl.waitValue] = value;
      const inTime = turn.block(Status.WAITING, timeoutNs !== Infinity);
      control[self + CpuControl.waitAddress] = outer;
      control[self + CpuControl.waitMask] = outerMask;
      control[self + CpuControl.waitValue] = outerValue;
      if (!inTime) return (words[address] & mask) !== value;
    }
  }

  wake(address: Pointer): void {
    if (tracing) this.log?.add(E.WAKE, address, this.words[address], this.words[address]);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      if (this.control[exploreCpuBase(cpu) + exploreCpu.status] !== Status.WAITING) continue;
      const at = cpuControl(cpu);
      if (this.control[at + CpuControl.waitAddress] !== address) continue;
      const seen = this.words[address] & this.control[at + CpuControl.waitMask];
      if (seen !== this.control[at + CpuControl.waitValue]) this.turn.enable(cpu);
    }
  }

  private checkRange(address: Pointer, words: number): void {
    if (address < 0 || words < 0 || address + words > this.words.length)
      bug(`bulk access of ${words} words at word ${address} leaves RAM`);
  }

  /** One step that writes within the line of `address`. */
  private writePoint(address: Pointer): void {
    if (++this.turn.step >= this.turn.next) this.turn.decide();
    const frame = address >> FRAME_SHIFT;
    if ((this.flags[frame] & DIRTY) === 0) this.dirty.note(frame);
  }
}
