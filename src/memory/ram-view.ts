/**
 * RAM as the main thread sees it while CPUs run: words that may be half of a change.  Readers take them for hints, and look at
 * each pointer before they follow it.
 */

import { type Pointer, WORD_BYTES } from "./units.ts";

export class RamView {
  private readonly ram: Int32Array;

  constructor(ram: SharedArrayBuffer) {
    this.ram = new Int32Array(ram, 0, Math.floor(ram.byteLength / WORD_BYTES));
  }

  /** 0 beyond RAM. */
  read(address: Pointer): number {
    return this.ram[address] ?? 0;
  }

  readByte(byteAddress: number): number {
    return (this.read(Math.floor(byteAddress / WORD_BYTES)) >>> ((byteAddress % WORD_BYTES) * 8)) & 0xff;
  }

  /** Whether a structure of `words` words may be there. */
  isPointer(address: Pointer, words: number): boolean {
    return address > 0 && address % 2 === 0 && address + words <= this.ram.length;
  }
}
