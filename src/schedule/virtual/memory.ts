/**
 * Memory of the virtual-time mode: every access costs cycles on a simulated machine with caches.
 *
 * A *directory* word for each 64-byte line holds its version, whether one CPU owns it exclusively, and who wrote it last:
 * (version, exclusive, owner).  Each CPU holds a bounded set of lines, direct mapped, each with the directory word it
 * saw.  A read hits if the version is the same; a write hits if the word is the same and exclusively ours.
 *
 *   read miss:   (v, 1, other) -> (v, 0, other)        transfer from `other`; the line counts as moved
 *   write miss:  (v, *, *)     -> (v+1, 1, self)       transfer, upgrade, or memory
 *
 * A marked access lets CPUs with smaller clocks go first.  One that hits a line which has never moved does so only when
 * this CPU is far ahead: as long as nobody else has shown an interest in the line, per-CPU locks and counters need not
 * cost a hand-over each.
 *
 * Contention, capacity, false sharing and hot lines appear by themselves.  Stores are posted: a marked store pays as a
 * plain one, and whoever waits for it pays the transfer.  The model's source: Papamarcos and Patel (MESI), ISCA 1984,
 * reduced to what a timing needs.
 */

import { CpuControl, cpuControl } from "../../memory/control.ts";
import type { Memory } from "../../memory/memory.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { Costs } from "./costs.ts";
import { afterMove, EXCLUSIVE, MOVED, MOVED_ONCE, OWNER_MASK, VERSION_SHIFT } from "./directory-word.ts";
import type { LineStats, WordCount } from "./line-stats.ts";
import type { VirtualTurn } from "./turn.ts";

const NO_LINE = -1;
/** How far ahead of the others a CPU may run on lines of its own, cycles. */
const PRIVATE_LEAD = 4000;
const LINE_SHIFT = 4;
const NODE_CHUNK_LINES = 65536; // 4 MiB: nodes are that far aligned

export interface VirtualMemoryParts {
  readonly ram: SharedArrayBuffer;
  readonly directory: SharedArrayBuffer;
  /** Cycle, by line, at which its last transfer for a locked operation ends: float64s. */
  readonly busy: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly cpu: number;
  readonly cpus: number;
  readonly turn: VirtualTurn;
  readonly costs: Costs;
  /** NUMA node of each 4 MiB of RAM. */
  readonly chunkNode: Uint8Array;
  /** Counts transfers by line; null when nobody asked. */
  readonly lineStats: LineStats | null;
  /** A switch is possible at every access, not only at marked ones. */
  readonly switchAtEvery: boolean;
}

export class VirtualMemory implements Memory {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly doubles: Float64Array;
  private readonly directory: Int32Array;
  private readonly busyUntil: Float64Array;
  private readonly control: Int32Array;
  private readonly turn: VirtualTurn;
  private readonly costs: Costs;
  private readonly cpu: number;
  private readonly cpus: number;
  private readonly chunkNode: Uint8Array;
  private readonly lineStats: LineStats | null;
  private readonly switchAtEvery: boolean;
  private readonly hit: number;
  private readonly locked: number;
  private readonly mine: number;
  private readonly slotMask: number;
  private readonly heldLine: Int32Array;
  private readonly heldWord: Int32Array;
  private lastMiss = NO_LINE;

  constructor(parts: VirtualMemoryParts) {
    this.words = new Int32Array(parts.ram);
    this.bytes = new Uint8Array(parts.ram);
    this.doubles = new Float64Array(parts.ram);
    this.directory = new Int32Array(parts.directory);
    this.busyUntil = new Float64Array(parts.busy);
    this.control = parts.control;
    this.turn = parts.turn;
    this.costs = parts.costs;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
    this.chunkNode = parts.chunkNode;
    this.lineStats = parts.lineStats;
    this.switchAtEvery = parts.switchAtEvery;
    this.hit = parts.costs.hit;
    this.locked = parts.costs.locked;
    this.mine = EXCLUSIVE | parts.cpu;
    const slots = 1 << parts.costs.cacheLinesLog2;
    this.slotMask = slots - 1;
    this.heldLine = new Int32Array(slots).fill(NO_LINE);
    this.heldWord = new Int32Array(slots);
  }

  read(address: Pointer): number {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeRead(address, false);
    return this.words[address];
  }
  write(address: Pointer, value: number): void {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeWrite(address, false);
    this.words[address] = value;
  }
  readByte(byteAddress: number): number {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeRead(Math.floor(byteAddress / WORD_BYTES), false);
    return this.bytes[byteAddress];
  }
  writeByte(byteAddress: number, value: number): void {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeWrite(Math.floor(byteAddress / WORD_BYTES), false);
    this.bytes[byteAddress] = value;
  }
  readFloat64(address: Pointer): number {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeRead(address, false);
    return this.doubles[address >> 1];
  }
  writeFloat64(address: Pointer, value: number): void {
    if (this.switchAtEvery && this.turn.now >= this.turn.limit) this.turn.look();
    this.chargeWrite(address, false);
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
    this.turn.now += this.costs.work[kind] * count;
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

  private chargeRead(address: Pointer, marked: boolean): void {
    const line = address >> LINE_SHIFT;
    const slot = line & this.slotMask;
    if (
      this.heldLine[slot] === line &&
      (this.heldWord[slot] ^ this.directory[line]) >>> VERSION_SHIFT === 0
    ) {
      this.turn.now += this.hit;
    } else {
      this.readMiss(address, marked);
    }
  }

  private chargeWrite(address: Pointer, marked: boolean): void {
    const line = address >> LINE_SHIFT;
    const slot = line & this.slotMask;
    const word = this.directory[line];
    const owned = (word & (EXCLUSIVE | OWNER_MASK)) === this.mine;
    if (owned && this.heldLine[slot] === line && this.heldWord[slot] === word) this.turn.now += this.hit;
    else this.writeMiss(address, marked);
  }

  private chargeMarkedRead(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    const slot = line & this.slotMask;
    const word = this.directory[line];
    const hit = this.heldLine[slot] === line && (this.heldWord[slot] ^ word) >>> VERSION_SHIFT === 0;
    if (hit && (word & MOVED) === 0 && turn.now < turn.limit + PRIVATE_LEAD) {
      turn.now += this.hit;
    } else {
      if (turn.now >= turn.limit) turn.look();
      this.chargeRead(address, true);
    }
  }

  /** A marked store is posted: it pays as a plain one. */
  private chargeMarkedWrite(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    if (this.isPrivate(line)) {
      turn.now += this.hit;
    } else {
      if (turn.now >= turn.limit) turn.look();
      this.chargeWrite(address, false);
    }
  }

  /** Exclusively ours, here, and never moved. */
  private isPrivate(line: number): boolean {
    const slot = line & this.slotMask;
    const word = this.directory[line];
    return (
      (word & (EXCLUSIVE | MOVED | OWNER_MASK)) === this.mine &&
      this.turn.now < this.turn.limit + PRIVATE_LEAD &&
      this.heldLine[slot] === line &&
      this.heldWord[slot] === word
    );
  }

  /**
   * A locked operation.  Transfers of one line for such operations follow each other: who comes while the line is on
   * its way to another CPU waits for it.  (Plain misses do not queue: they run ahead of other CPUs' clocks.)
   */
  private chargeLocked(address: Pointer): void {
    const { turn } = this;
    const line = address >> LINE_SHIFT;
    if (this.isPrivate(line)) {
      turn.now += this.hit + this.locked;
      return;
    }
    if (turn.now >= turn.limit) turn.look();
    const before = turn.now;
    this.chargeWrite(address, true);
    const cost = turn.now - before;
    if (cost > this.hit) {
      const begins = Math.max(before, this.busyUntil[line]);
      turn.now = begins + cost;
      this.busyUntil[line] = turn.now + this.locked;
    }
    turn.now += this.locked;
  }

  private readMiss(address: Pointer, marked: boolean): void {
    const line = address >> LINE_SHIFT;
    const slot = line & this.slotMask;
    const word = this.directory[line];
    this.turn.now += this.fetch(address, word, marked, false);
    const foreign = (word & OWNER_MASK) !== this.cpu && (word & EXCLUSIVE) !== 0;
    const shared = foreign ? afterMove(word) & ~EXCLUSIVE : word;
    if (shared !== word) this.directory[line] = shared;
    this.heldLine[slot] = line;
    this.heldWord[slot] = shared;
  }

  private writeMiss(address: Pointer, marked: boolean): void {
    const line = address >> LINE_SHIFT;
    const slot = line & this.slotMask;
    const word = this.directory[line];
    const held = this.heldLine[slot] === line && (this.heldWord[slot] ^ word) >>> VERSION_SHIFT === 0;
    if (held) {
      this.turn.now += marked ? this.costs.upgrade.marked : this.costs.upgrade.plain;
      this.lineStats?.upgrade(address);
    } else {
      this.turn.now += this.fetch(address, word, marked, true);
    }
    const stays = (word & OWNER_MASK) === this.cpu || word === 0;
    const moves = (stays ? word : afterMove(word)) & (MOVED_ONCE | MOVED);
    const next = (((word >>> VERSION_SHIFT) + 1) << VERSION_SHIFT) | moves | this.mine;
    this.directory[line] = next;
    this.heldLine[slot] = line;
    this.heldWord[slot] = next;
  }

  /** Cycles to get a line that is not here: from another CPU's cache, or from memory. */
  private fetch(address: Pointer, word: number, marked: boolean, writes: boolean): number {
    const { costs } = this;
    const line = address >> LINE_SHIFT;
    const owner = word & OWNER_MASK;
    const wasHere = this.heldLine[line & this.slotMask] === line;
    if (owner !== this.cpu && ((word & EXCLUSIVE) !== 0 || wasHere)) {
      this.lineStats?.transfer(address, owner, writes);
      const at = this.cpu * this.cpus + owner;
      return marked ? costs.transferMarked[at] : costs.transferPlain[at];
    }
    const near = Math.abs(line - this.lastMiss) <= costs.streamWindowLines;
    this.lastMiss = line;
    if (near) return costs.streamMiss;
    return costs.memoryMiss[this.cpu * costs.nodes + this.chunkNode[Math.floor(line / NODE_CHUNK_LINES)]];
  }

  private chargeRange(address: Pointer, words: number, writes: boolean): void {
    if (words <= 0) return;
    const last = (address + words - 1) >> LINE_SHIFT;
    for (let line = address >> LINE_SHIFT; line <= last; line++) {
      if (writes) this.chargeWrite(line << LINE_SHIFT, false);
      else this.chargeRead(line << LINE_SHIFT, false);
    }
  }
}
