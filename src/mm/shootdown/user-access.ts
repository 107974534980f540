/**
 * What a program on this CPU does at user addresses: every access is translated, by the TLB or by a walk of the loaded
 * tables, and faults as x86 does.
 *
 * Reads and writes of a page that the first level knows take a short way.  A translation is good for one access: the CPU takes no interrupt in between, so whoever flushes waits for the access,
 * too.  Afterwards interrupts are taken.
 *
 * A fault goes to the handler that is installed (mm/memory.c handle_mm_fault): when it returns, the access is tried
 * again; otherwise it throws what the program is to see.  Without a handler that is a `UserFault`.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { faultCode, Mmu } from "../../hardware/mmu.ts";
import { describeFault, PageFault, PteBit } from "../../hardware/page-table-entry.ts";
import type { Tlb } from "../../hardware/tlb.ts";
import type { Memory } from "../../memory/memory.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { entrySpan } from "../pgtable/address-range.ts";
import { type StaleWatch, WATCHING } from "./stale-watch.ts";

const { USER, WRITE, INSTR } = PageFault;
const USER_WRITE = USER | WRITE;
/** Rights of a TLB entry that a write may go through: the first one goes to the tables, to set DIRTY there. */
const WRITE_NEEDS = PteBit.USER | PteBit.RW | PteBit.DIRTY;
const watching = WATCHING;

/** What a program gets for an access that nobody can make good. */
export class UserFault extends Error {
  override readonly name = "UserFault";
  readonly address: number;
  /** PageFault bits. */
  readonly code: number;

  constructor(address: number, code: number) {
    super(`0x${address.toString(16)}: ${describeFault(code)}`);
    this.address = address;
    this.code = code;
  }
}

/** Resolves a fault, or throws what the program is to see. */
export type FaultHandler = (address: number, code: number) => void;

export class UserAccess {
  declare readonly mmu: Mmu;
  declare private readonly cpu: Cpu;
  declare private readonly tlb: Tlb;
  declare private readonly memory: Memory;
  declare private readonly watch: StaleWatch;
  /** First address past the lower canonical half. */
  declare private readonly limit: number;
  private handler: FaultHandler = (address, code) => {
    throw new UserFault(address, code);
  };

  constructor(cpu: Cpu, watch: StaleWatch, levels: 4 | 5) {
    this.cpu = cpu;
    this.tlb = cpu.tlb;
    this.memory = cpu.memory;
    this.watch = watch;
    this.mmu = new Mmu(cpu.memory, cpu.tlb, levels);
    this.limit = 256 * entrySpan(levels);
    const { memory, tlb } = cpu;
    // Closures: V8 takes what hangs on them for constants.  See docs/decisions/006.
    this.read = (address) => {
      const hit = watching ? -1 : tlb.wordAt(address, USER);
      const value = memory.read(hit >= 0 ? hit : this.wordAt(address, USER));
      cpu.poll();
      return value;
    };
    this.write = (address, value) => {
      const hit = watching ? -1 : tlb.wordAt(address, WRITE_NEEDS);
      memory.write(hit >= 0 ? hit : this.wordAt(address, USER_WRITE), value);
      cpu.poll();
    };
  }

  /** Who resolves faults; the last one installed. */
  install(handler: FaultHandler): void {
    this.handler = handler;
  }

  // ---- a program's accesses ----

  /** A word, at an address that is a multiple of 4. */
  declare readonly read: (address: number) => number;
  declare readonly write: (address: number, value: number) => void;
  readByte(address: number): number {
    const value = this.memory.readByte(this.wordAt(address, USER) * WORD_BYTES + (address & 3));
    this.cpu.poll();
    return value;
  }
  writeByte(address: number, value: number): void {
    this.memory.writeByte(this.wordAt(address, USER_WRITE) * WORD_BYTES + (address & 3), value);
    this.cpu.poll();
  }

  /** Atomic accesses of a program.  An atomic change needs the right to write even when it changes nothing. */
  load(address: number): number {
    const value = this.memory.load(this.wordAt(address, USER));
    this.cpu.poll();
    return value;
  }
  store(address: number, value: number): void {
    this.memory.store(this.wordAt(address, USER_WRITE), value);
    this.cpu.poll();
  }
  cas(address: number, expected: number, replacement: number): number {
    const found = this.memory.cas(this.wordAt(address, USER_WRITE), expected, replacement);
    this.cpu.poll();
    return found;
  }
  add(address: number, value: number): number {
    const before = this.memory.add(this.wordAt(address, USER_WRITE), value);
    this.cpu.poll();
    return before;
  }

  /** Fetches an instruction, so to say: faults where none may be executed. */
  fetch(address: number): void {
    this.wordAt(address, USER | INSTR);
    this.cpu.poll();
  }

  // ---- for the kernel ----

  /**
   * The word of RAM at a user address for an access of kind `access`: USER for a program's, 0 for the kernel's own, and
   * WRITE or INSTR.  Good for one access, before the next poll point.  Faults go to the handler.
   */
  wordAt(address: number, access: number): Pointer {
    const at = this.translate(address, access);
    if (at < 0) return this.faultAt(address, access, at);
    if (watching) this.watch.accessed(address, at, access);
    return at;
  }

  /** The same without the handler: below 0 for a fault, whose code `faultCode` has.  Linux: __get_user with pagefault_disable. */
  translate(address: number, access: number): Pointer {
    const { limit, tlb } = this;
    if (address >= limit || address < -limit) return -1 - access;
    if (watching) this.watch.walks(address);
    return this.mmu.translate(tlb, tlb.pcid, address, access);
  }

  /**
   * What hardware may do on its own at any time while tables are loaded, even lazily: it walks for an address that nobody has
   * asked for.  No fault comes of it.
   */
  speculate(address: number): void {
    this.translate(address, 0);
  }

  private faultAt(address: number, access: number, translated: Pointer): Pointer {
    for (let at = translated; ; at = this.translate(address, access)) {
      if (at >= 0) {
        if (watching) this.watch.accessed(address, at, access);
        return at;
      }
      this.handler(address, faultCode(at));
      this.cpu.poll();
    }
  }
}
