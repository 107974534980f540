/**
 * Memory of the virtual-time mode: every access costs cycles on a simulated machine with caches.
 *
 * Each CPU holds a bounded number of lines (see cache), each with the directory word that it saw (see directory-word).
 * A read hits if the line's version is still the same; a write hits if the word is the same and exclusively ours.  What
 * misses is charged by `Misses`.
 *
 * A marked access lets CPUs with smaller clocks go first.  One that hits a line of this CPU's own does so only when this
 * CPU is far ahead: as long as nobody else has shown an interest in the line, per-CPU locks and counters need not cost
 * a hand-over each.  A line is our own when it came from memory or by a plain access (a lock guards it, or its owner
 * passed it on), or when we let the others go first `QUIET` times in a row and nobody took it away.  A line that is not
 * makes plain accesses look, too: else two CPUs that share it falsely would each use it for long stretches.
 *
 * Contention, capacity, false sharing and hot lines appear by themselves.  Stores are posted: a marked store pays as a
 * plain one, and whoever waits for it pays the transfer.
 */

import { CpuControl, cpuControl } from "../../memory/control.ts";
import { halfOf, withHalf } from "../../memory/half-word.ts";
import type { Memory } from "../../memory/memory.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Cache, QUIET } from "./cache.ts";
import type { Costs } from "./costs.ts";
import { EXCLUSIVE, LINE_SHIFT, OWNER_MASK, SET_SHIFT, SET_SPREAD, VERSION_SHIFT } from "./directory-word.ts";
import type { LineStats, WordCount } from "./line-stats.ts";
import { Misses } from "./misses.ts";
import type { VirtualTurn } from "./turn.ts";

export interface VirtualMemoryParts {
  readonly ram: SharedArrayBuffer;
  readonly directory: SharedArrayBuffer;
  /** Cycle, by line, at which its last transfer for a locked operation ends: float64s. */
  readonly busy: SharedArrayBuffer;
  /** The lines that each CPU holds. */
  readonly held: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly cpu: number;
  readonly cpus: number;
  readonly turn: VirtualTurn;
  readonly costs: Costs;
  /** NUMA node of each NODE_CHUNK_BYTES of RAM. */
  readonly chunkNode: Uint8Array;
  /** Counts transfers by line; null when nobody asked. */
  readonly lineStats: LineStats | null;
  /** A switch is possible at every access, not only at marked ones. */
  readonly switchAtEvery: boolean;
  /** How far a CPU may run ahead on plain accesses where it looks at the others, cycles. */
  readonly slackCycles: number;
}

export class VirtualMemory implements Memory {
  declare private readonly words: Int32Array;
  declare private readonly bytes: Uint8Array;
  declare private readonly doubles: Float64Array;
  declare private readonly directory: Int32Array;
  declare private readonly control: Int32Array;
  declare private readonly turn: VirtualTurn;
  declare private readonly misses: Misses;
  declare private readonly workCycles: Float64Array;
  declare private readonly cpu: number;
  declare private readonly cpus: number;
  declare private readonly lineStats: LineStats | null;
  declare private readonly switchAtEvery: boolean;
  declare private readonly slack: number;
  declare private readonly hit: number;
  declare private readonly locked: number;
  declare private readonly mine: number;
  declare private readonly cache: Cache;
  declare private readonly setMask: number;
  declare private readonly held: Int32Array;
  declare private readonly quiet: Uint8Array;

  constructor(parts: VirtualMemoryParts) {
    this.words = new Int32Array(parts.ram);
    this.bytes = new Uint8Array(parts.ram);
    this.doubles = new Float64Array(parts.ram);
    this.directory = new Int32Array(parts.directory);
    const cache = new Cache(parts.held, 1 << parts.costs.cacheLinesLog2, parts.cpu);
    this.misses = new Misses(parts, cache, this.directory);
    this.cache = cache;
    this.control = parts.control;
    this.turn = parts.turn;
    this.workCycles = parts.costs.work;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
    this.lineStats = parts.lineStats;
    this.switchAtEvery = parts.switchAtEvery;
    this.slack = parts.slackCycles;
    this.hit = parts.costs.hit;
    this.locked = parts.costs.locked;
    this.mine = EXCLUSIVE | parts.cpu;
    this.held = cache.held;
    this.quiet = cache.quiet;
    this.setMask = cache.setMask;
  }

  read(address: Pointer): number {
    this.chargeRead(address);
    return this.words[address];
  }
  write(address: Pointer, value: number): void {
    this.chargeWrite(address);
    this.words[address] = value;
  }
  readByte(byteAddress: number): number {
    this.chargeRead(Math.floor(byteAddress / WORD_BYTES));
    return this.bytes[byteAddress];
  }
  writeByte(byteAddress: number, value: number): void {
    this.chargeWrite(Math.floor(byteAddress / WORD_BYTES));
    this.bytes[byteAddress] = value;
  }
  readFloat64(address: Pointer): number {
    this.chargeRead(address);
    return this.doubles[address >> 1];
  }
  writeFloat64(address: Pointer, value: number): void {
    this.chargeWrite(address);
    this.doubles[address >> 1] = value;
  }

  load(address: Pointer): number {
    this.chargeMarkedRead(address);
    return this.words[address];
  }
  store(address: Pointer, value: number): void {
    this.chargeMarkedWrite(address);
    this.words[address] = value;
  }
  cas(address: Pointer, expected: number, replacement: number): number {
    this.chargeLocked(address);
    const found = this.words[address];
    if (found === (expected | 0)) this.words[address] = replacement;
    return found;
  }
  add(address: Pointer, value: number): number {
    this.chargeLocked(address);
    const found = this.words[address];
    this.words[address] = found + value;
    return found;
  }
  and(address: Pointer, value: number): number {
    this.chargeLocked(address);
    const found = this.words[address];
    this.words[address] = found & value;
    return found;
  }
  or(address: Pointer, value: number): number {
    this.chargeLocked(address);
    const found = this.words[address];
    this.words[address] = found | value;
    return found;
  }
  exchange(address: Pointer, value: number): number {
    this.chargeLocked(address);
    const found = this.words[address];
    this.words[address] = value;
    return found;
  }
  loadByte(byteAddress: number): number {
    this.chargeMarkedRead(Math.floor(byteAddress / WORD_BYTES));
    return this.bytes[byteAddress];
  }
  storeByte(byteAddress: number, value: number): void {
    this.chargeMarkedWrite(Math.floor(byteAddress / WORD_BYTES));
    this.bytes[byteAddress] = value;
  }
  casByte(byteAddress: number, expected: number, replacement: number): number {
    this.chargeLocked(Math.floor(byteAddress / WORD_BYTES));
    const found = this.bytes[byteAddress];
    if (found === expected) this.bytes[byteAddress] = replacement;
    return found;
  }
  exchangeHalf(byteAddress: number, value: number): number {
    const address = Math.floor(byteAddress / WORD_BYTES);
    this.chargeLocked(address);
    const found = this.words[address];
    this.words[address] = withHalf(found, byteAddress, value);
    return halfOf(found, byteAddress);
  }

  fill(address: Pointer, words: number, value: number): void {
    this.chargeRange(address, words, true);
    this.words.fill(value, address, address + words);
  }
  copy(to: Pointer, from: Pointer, words: number): void {
    this.chargeRange(from, words, false);
    this.chargeRange(to, words, true);
    this.words.copyWithin(to, from, from + words);
  }
  compare(a: Pointer, b: Pointer, words: number): number {
    for (let i = 0; i < words; i++) {
      const x = this.words[a + i];
      const y = this.words[b + i];
      if (x === y) continue;
      this.chargeRange(a, i + 1, false);
      this.chargeRange(b, i + 1, false);
      return x < y ? -1 : 1;
    }
    this.chargeRange(a, words, false);
    this.chargeRange(b, words, false);
    return 0;
  }

  work(kind: number, count: number): void {
    this.turn.now += this.workCycles[kind] * count;
  }
  touchLines(address: Pointer, lines: number): void {
    this.chargeRange(address, lines << LINE_SHIFT, false);
  }

  waitWhile(address: Pointer, mask: number, value: number, timeoutNs = Infinity): boolean {
    const { words, turn, control } = this;
    const self = cpuControl(this.cpu);
    const deadline = turn.nowNs() + timeoutNs;
    for (;;) {
      turn.pollInterrupts();
      this.chargeMarkedRead(address);
      if ((words[address] & mask) !== value) return true;
      const left = deadline - turn.nowNs();
      if (left <= 0) return false;
      const outer = control[self + CpuControl.waitAddress];
      const outerMask = control[self + CpuControl.waitMask];
      const outerValue = control[self + CpuControl.waitValue];
      control[self + CpuControl.waitAddress] = address;
      control[self + CpuControl.waitMask] = mask;
      control[self + CpuControl.waitValue] = value;
      turn.waitForWake(left);
      control[self + CpuControl.waitAddress] = outer;
      control[self + CpuControl.waitMask] = outerMask;
      control[self + CpuControl.waitValue] = outerValue;
    }
  }

  wake(address: Pointer): void {
    const { turn, control, words } = this;
    if (!turn.anyoneWaits) return;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const at = cpuControl(cpu);
      if (control[at + CpuControl.waitAddress] !== address || !turn.isWaiting(cpu)) continue;
      const seen = words[address] & control[at + CpuControl.waitMask];
      if (seen !== control[at + CpuControl.waitValue]) turn.endWait(cpu);
    }
  }

  /** Transfers counted since the last call, or null when they are not counted. */
  takeLineCounts(): WordCount[] | null {
    const counts = this.lineStats?.all() ?? null;
    this.lineStats?.clear();
    return counts;
  }

  // ---- charges ----

  private chargeRead(address: Pointer): void {
    const { turn } = this;
    if (address >> LINE_SHIFT === turn.lastRead) turn.readHits++;
    else this.readLine(address);
  }

  private readLine(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
    const isSettled = this.quiet[at >> 1] === QUIET && !this.switchAtEvery;
    if (!isSettled && turn.now >= turn.limit + this.slack) this.look(line, at);
    if (this.held[at] === line && (this.held[at + 1] ^ this.directory[line]) >>> VERSION_SHIFT === 0) {
      turn.readHits++;
      if (isSettled) turn.lastRead = line;
    } else {
      this.misses.read(address, false);
    }
  }

  private chargeWrite(address: Pointer): void {
    const { turn } = this;
    if (address >> LINE_SHIFT === turn.lastWritten) turn.writeHits++;
    else this.writeLine(address);
  }

  private writeLine(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
    const isSettled = this.quiet[at >> 1] === QUIET && !this.switchAtEvery;
    if (!isSettled && turn.now >= turn.limit + this.slack) this.look(line, at);
    if (this.isOwned(line, at)) {
      turn.writeHits++;
      if (isSettled) turn.lastWritten = line;
    } else {
      this.misses.write(address, false, false);
    }
  }

  private chargeMarkedRead(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
    if (turn.now >= turn.limit && !(turn.now < turn.reach && this.isOurs(line, at))) this.look(line, at);
    if (this.held[at] === line && (this.held[at + 1] ^ this.directory[line]) >>> VERSION_SHIFT === 0) {
      turn.now += this.hit;
    } else {
      this.misses.read(address, true);
    }
  }

  /** A marked store is posted: it pays as a plain one. */
  private chargeMarkedWrite(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
    if (turn.now >= turn.limit && !(turn.now < turn.reach && this.isOurs(line, at))) this.look(line, at);
    if (this.isOwned(line, at)) {
      turn.now += this.hit;
    } else {
      this.misses.write(address, true, false);
    }
  }

  private chargeLocked(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
    if (turn.now >= turn.limit && !(turn.now < turn.reach && this.isOurs(line, at))) this.look(line, at);
    if (this.isOwned(line, at)) {
      turn.now += this.hit + this.locked;
    } else {
      this.misses.write(address, true, true);
    }
  }

  /** Lets CPUs with smaller clocks go first; a line that is as it was afterwards was written by none of them. */
  private look(line: number, at: number): void {
    this.turn.look();
    if (this.quiet[at >> 1] === QUIET || this.held[at] !== line) return;
    if ((this.held[at + 1] ^ this.directory[line]) >>> VERSION_SHIFT === 0) this.quiet[at >> 1]++;
  }

  /** Here, and exclusively ours. */
  private isOwned(line: number, at: number): boolean {
    return (
      this.held[at] === line &&
      this.held[at + 1] === this.directory[line] &&
      (this.held[at + 1] & (EXCLUSIVE | OWNER_MASK)) === this.mine
    );
  }

  /** We wrote the line last, and nobody else seems to want it. */
  private isOurs(line: number, at: number): boolean {
    if ((this.directory[line] & (EXCLUSIVE | OWNER_MASK)) !== this.mine) return false;
    const isHere = this.held[at] === line || this.cache.bringForward(line, at);
    return !isHere || this.quiet[at >> 1] === QUIET;
  }

  private chargeRange(address: Pointer, words: number, writes: boolean): void {
    if (words <= 0) return;
    const last = (address + words - 1) >> LINE_SHIFT;
    for (let line = address >> LINE_SHIFT; line <= last; line++) {
      if (writes) this.chargeWrite(line << LINE_SHIFT);
      else this.chargeRead(line << LINE_SHIFT);
    }
  }
}
