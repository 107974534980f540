/**
 * Memory of the parallel mode: the host's own loads, stores and atomics.
 *
 * The bulk of a wait is a bounded spin that answers interrupts; then the CPU publishes what it sleeps on and parks.
 * `wake` looks at one word, and only if somebody sleeps in that bucket does it search for whom to kick.  No wake-up is
 * lost: the sleeper counts itself *before* it looks at the condition again, the storer looks at the count *after* its
 * marked store; one of the two sees the other.
 */

import { bug } from "./bug.ts";
import { Control, CpuControl, cpuControl, sleeperBucket } from "./control.ts";
import type { LockSteps } from "./lock-steps.ts";
import type { Memory } from "./memory.ts";
import type { Turn } from "./turn.ts";
import type { Pointer } from "./units.ts";
import { type AtomicOperations, atomicsOf, bulkOf, lockStepsOf, type RamMemory } from "./wasm-atomics.ts";
import type { BulkOperations } from "./wasm-bulk.ts";

const control = Control;
const cpuWords = CpuControl;
/** On x86 a locked store is a full barrier, so a plain load after it cannot be early; elsewhere it could. */
const storesDrainFirst = process.arch === "x64" || process.arch === "ia32";

export interface MemoryParts {
  readonly ram: RamMemory;
  readonly control: Int32Array;
  /** This CPU's number; -1 for the main thread, which never waits. */
  readonly cpu: number;
  /** All CPUs, housekeeping ones included. */
  readonly cpus: number;
  readonly turn: Turn;
}

export class PlainMemory implements Memory {
  declare private readonly words: Int32Array;
  declare readonly lockSteps: LockSteps;
  declare private readonly atomics: AtomicOperations;
  declare private readonly bulk: BulkOperations;
  declare private readonly bytes: Uint8Array;
  declare private readonly doubles: Float64Array;
  declare private readonly control: Int32Array;
  declare private readonly turn: Turn;
  declare private readonly cpu: number;
  declare private readonly cpus: number;

  constructor(parts: MemoryParts) {
    this.words = new Int32Array(parts.ram.buffer);
    this.atomics = atomicsOf(parts.ram);
    this.lockSteps = lockStepsOf(parts.ram);
    this.bulk = bulkOf(parts.ram);
    this.bytes = new Uint8Array(parts.ram.buffer);
    this.doubles = new Float64Array(parts.ram.buffer);
    this.control = parts.control;
    this.turn = parts.turn;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
  }

  read(address: Pointer): number {
    return this.words[address];
  }
  write(address: Pointer, value: number): void {
    this.words[address] = value;
  }
  readByte(byteAddress: number): number {
    return this.bytes[byteAddress];
  }
  writeByte(byteAddress: number, value: number): void {
    this.bytes[byteAddress] = value;
  }
  readFloat64(address: Pointer): number {
    return this.doubles[address >> 1];
  }
  writeFloat64(address: Pointer, value: number): void {
    this.doubles[address >> 1] = value;
  }

  load(address: Pointer): number {
    return this.atomics.load(address);
  }
  store(address: Pointer, value: number): void {
    this.atomics.store(address, value);
  }
  cas(address: Pointer, expected: number, replacement: number): number {
    return this.atomics.cas(address, expected, replacement);
  }
  add(address: Pointer, value: number): number {
    return this.atomics.add(address, value);
  }
  and(address: Pointer, value: number): number {
    return this.atomics.and(address, value);
  }
  or(address: Pointer, value: number): number {
    return this.atomics.or(address, value);
  }
  exchange(address: Pointer, value: number): number {
    return this.atomics.exchange(address, value);
  }
  loadByte(byteAddress: number): number {
    return this.atomics.loadByte(byteAddress);
  }
  storeByte(byteAddress: number, value: number): void {
    this.atomics.storeByte(byteAddress, value);
  }
  casByte(byteAddress: number, expected: number, replacement: number): number {
    return this.atomics.casByte(byteAddress, expected, replacement);
  }
  exchangeHalf(byteAddress: number, value: number): number {
    return this.atomics.exchangeHalf(byteAddress, value);
  }

  fill(address: Pointer, words: number, value: number): void {
    const byte = value & 0xff;
    if (value === Math.imul(byte, 0x01010101)) this.bulk.fill(address, words, byte);
    else this.words.fill(value, address, address + words);
  }
  copy(to: Pointer, from: Pointer, words: number): void {
    this.bulk.copy(to, from, words);
  }
  compare(a: Pointer, b: Pointer, words: number): number {
    const ram = this.words;
    for (let i = 0; i < words; i++) {
      if (ram[a + i] !== ram[b + i]) return ram[a + i] < ram[b + i] ? -1 : 1;
    }
    return 0;
  }

  work(_kind: number, _count: number): void {}
  touchLines(_address: Pointer, _lines: number): void {}

  waitWhile(address: Pointer, mask: number, value: number, timeoutNs = Infinity): boolean {
    const { turn } = this;
    const spins = turn.spinLimit;
    for (let i = 0; i < spins; i++) {
      if ((this.atomics.load(address) & mask) !== value) return true;
      turn.relax();
    }
    return this.waitParked(address, mask, value, timeoutNs);
  }

  wake(address: Pointer): void {
    const bucket = control.sleepers + sleeperBucket(address);
    const sleepers = storesDrainFirst ? this.control[bucket] : Atomics.load(this.control, bucket);
    if (sleepers !== 0) this.wakeSleepers(address);
  }

  private waitParked(address: Pointer, mask: number, value: number, timeoutNs: number): boolean {
    const { control: wiring, turn } = this;
    if (this.cpu < 0) bug(`the main thread waits on word ${address}: it is no CPU`);
    const self = cpuControl(this.cpu);
    const bucket = control.sleepers + sleeperBucket(address);
    const deadline = turn.nowNs() + timeoutNs;
    const outer = wiring[self + cpuWords.waitAddress];
    const outerMask = wiring[self + cpuWords.waitMask];
    const outerValue = wiring[self + cpuWords.waitValue];
    wiring[self + cpuWords.waitMask] = mask;
    wiring[self + cpuWords.waitValue] = value;
    Atomics.store(wiring, self + cpuWords.waitAddress, address);
    Atomics.add(wiring, bucket, 1);
    try {
      for (;;) {
        // An interrupt taken here may wait for another word; only a look after it, with our address published again,
        // sees every store whose waker did not find us.
        turn.relax();
        if ((this.atomics.load(address) & mask) !== value) return true;
        const left = deadline - turn.nowNs();
        if (left <= 0) return false;
        turn.park(left);
      }
    } finally {
      Atomics.sub(wiring, bucket, 1);
      wiring[self + cpuWords.waitMask] = outerMask;
      wiring[self + cpuWords.waitValue] = outerValue;
      Atomics.store(wiring, self + cpuWords.waitAddress, outer);
    }
  }

  private wakeSleepers(address: Pointer): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      if (Atomics.load(this.control, cpuControl(cpu) + cpuWords.waitAddress) === address) this.turn.kick(cpu);
    }
  }
}
