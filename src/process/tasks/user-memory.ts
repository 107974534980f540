/**
 * What a program does with its memory: loads and stores of 1 to 8 bytes, each translated as hardware does; bulk copies; atomic
 * changes of 32-bit words.
 *
 * Numbers are unsigned.  An access that crosses words is made byte by byte, and 64 bits are two words: neither is atomic.
 * An access that cannot be made good throws a `UserSignal`, which a program may catch: `error.signal` is "SEGV" or "BUS".
 */

import type { UserAccess } from "../../mm/shootdown/user-access.ts";
import { UserSignal } from "../user-signal.ts";

const TWO_32 = 2 ** 32;

/** Set by interrupts: the running task may have got a signal. */
export interface Attention {
  isDue: boolean;
  /** Throws if the task has been killed. */
  look(): void;
}

export class UserMemory {
  declare protected readonly access: UserAccess;
  declare protected readonly attention: Attention;

  constructor(access: UserAccess, attention: Attention) {
    this.access = access;
    this.attention = attention;
  }

  read8(address: number): number {
    const value = this.access.readByte(address);
    if (this.attention.isDue) this.attention.look();
    return value;
  }

  read16(address: number): number {
    return this.read8(address) | (this.read8(address + 1) << 8);
  }

  read32(address: number): number {
    if ((address & 3) !== 0) return this.readBytes(address, 4);
    const value = this.access.read(address) >>> 0;
    if (this.attention.isDue) this.attention.look();
    return value;
  }

  /** Exact below 2^53. */
  read64(address: number): number {
    return this.read32(address) + this.read32(address + 4) * TWO_32;
  }

  write8(address: number, value: number): void {
    this.access.writeByte(address, value & 0xff);
    if (this.attention.isDue) this.attention.look();
  }

  write16(address: number, value: number): void {
    this.write8(address, value);
    this.write8(address + 1, value >>> 8);
  }

  write32(address: number, value: number): void {
    if ((address & 3) !== 0) {
      for (let i = 0; i < 4; i++) this.write8(address + i, value >>> (8 * i));
      return;
    }
    this.access.write(address, value | 0);
    if (this.attention.isDue) this.attention.look();
  }

  /** A negative number is written as its two's complement. */
  write64(address: number, value: number): void {
    this.write32(address, value % TWO_32);
    this.write32(address + 4, Math.floor(value / TWO_32));
  }

  /** Copies bytes; of ranges that overlap, as memmove does. */
  copy(to: number, from: number, bytes: number): void {
    const isWords = ((to | from | bytes) & 3) === 0;
    const step = isWords ? 4 : 1;
    const backwards = from < to && to < from + bytes;
    for (let done = 0; done < bytes; done += step) {
      const at = backwards ? bytes - step - done : done;
      if (isWords) this.write32(to + at, this.read32(from + at));
      else this.write8(to + at, this.read8(from + at));
    }
  }

  /** Sets each of `bytes` bytes to `value`. */
  fill(address: number, bytes: number, value: number): void {
    const isWords = ((address | bytes) & 3) === 0;
    const word = Math.imul(value & 0xff, 0x01010101);
    for (let at = 0; at < bytes; at += isWords ? 4 : 1) {
      if (isWords) this.write32(address + at, word);
      else this.write8(address + at, value);
    }
  }

  // ---- atomic, of 32-bit words ----

  /** A load that other CPUs' stores are ordered with. */
  load32(address: number): number {
    const value = this.access.load(aligned(address)) >>> 0;
    if (this.attention.isDue) this.attention.look();
    return value;
  }

  store32(address: number, value: number): void {
    this.access.store(aligned(address), value | 0);
    if (this.attention.isDue) this.attention.look();
  }

  /** Writes `replacement` if the word is `expected`; the word before. */
  compareAndSwap(address: number, expected: number, replacement: number): number {
    const found = this.access.cas(aligned(address), expected | 0, replacement | 0) >>> 0;
    if (this.attention.isDue) this.attention.look();
    return found;
  }

  /** Adds `value`, modulo 2^32; the word before. */
  fetchAdd(address: number, value: number): number {
    const before = this.access.add(aligned(address), value | 0) >>> 0;
    if (this.attention.isDue) this.attention.look();
    return before;
  }

  private readBytes(address: number, bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.read8(address + i) << (8 * i);
    return value >>> 0;
  }
}

/** An atomic access does not cross words.  Linux: split lock detection sends SIGBUS. */
function aligned(address: number): number {
  if ((address & 3) !== 0) throw new UserSignal("BUS", "ADRERR", address);
  return address;
}
