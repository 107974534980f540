/**
 * Access at kernel virtual addresses: every word is translated, by this CPU's TLB or by a walk of the tables in RAM.
 *
 * So a mapping that is gone may still be used by a CPU that was not told, exactly as on hardware; and one that was never
 * made stops the machine.
 *
 * Linux: what the MMU does; arch/x86/mm/fault.c page_fault_oops.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bytesToPageEnd, faultCode, Mmu, type PageTableBase } from "../../hardware/mmu.ts";
import { describeFault, PageFault } from "../../hardware/page-table-entry.ts";
import type { Tlb } from "../../hardware/tlb.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { KernelTables } from "./kernel-tables.ts";
import { formatAddress } from "./vmalloc-space.ts";

const { WRITE } = PageFault;

export class KernelVirtual {
  declare readonly mmu: Mmu;
  declare private readonly memory: Memory;
  declare private readonly tlb: Tlb;
  declare private readonly tables: PageTableBase;

  constructor(cpu: Cpu, tables: KernelTables) {
    const { tlb } = cpu;
    this.memory = cpu.memory;
    this.tlb = tlb;
    this.mmu = new Mmu(cpu.memory, tlb, tables.levels);
    // What is loaded, whose upper half is the kernel's; before there were tables nothing was.
    this.tables = { rootPfn: () => tlb.rootPfn() || tables.rootPfn() };
  }

  /** The word at an address that is a multiple of 4. */
  read(address: number): number {
    return this.memory.read(this.wordAt(address, 0));
  }
  write(address: number, value: number): void {
    this.memory.write(this.wordAt(address, WRITE), value);
  }
  readByte(address: number): number {
    return this.memory.readByte(this.wordAt(address, 0) * WORD_BYTES + (address & 3));
  }
  writeByte(address: number, value: number): void {
    this.memory.writeByte(this.wordAt(address, WRITE) * WORD_BYTES + (address & 3), value);
  }
  /** Marked. */
  load(address: number): number {
    return this.memory.load(this.wordAt(address, 0));
  }
  store(address: number, value: number): void {
    this.memory.store(this.wordAt(address, WRITE), value);
  }

  /** Fills whole words. */
  fill(address: number, bytes: number, value: number): void {
    for (let done = 0; done < bytes; ) {
      const at = address + done;
      const part = Math.min(bytes - done, bytesToPageEnd(at));
      this.memory.fill(this.wordAt(at, WRITE), part / WORD_BYTES, value);
      done += part;
    }
  }

  /** Copies whole words; the ranges must not overlap. */
  copy(to: number, from: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const part = Math.min(bytes - done, bytesToPageEnd(to + done), bytesToPageEnd(from + done));
      const source = this.wordAt(from + done, 0);
      this.memory.copy(this.wordAt(to + done, WRITE), source, part / WORD_BYTES);
      done += part;
    }
  }

  /**
   * The word of RAM at `address`, for an access of the kernel: a read, or WRITE or INSTR; good for this one access.  The tables of
   * the loaded address space are walked.
   */
  wordAt(address: number, access: number): Pointer {
    const at = this.mmu.translate(this.tables, this.tlb.pcid, address, access);
    if (at < 0) this.oops(address, faultCode(at));
    return at;
  }

  private oops(address: number, code: number): never {
    bug(`BUG: unable to handle page fault for address: ${formatAddress(address)}\n${describeFault(code)}`);
  }
}
