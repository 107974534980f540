/**
 * RCU's read side: sections in which what a published pointer leads to stays as it is.
 *
 * A section is a region with preemption disabled, so it costs what that costs.
 *
 * Linux: include/linux/rcupdate.h, without CONFIG_PREEMPT_RCU.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import { RcuData } from "./rcu-grace-period.ts";

const data = RcuData;
const checks = shape.checks;

export class RcuReaders {
  protected readonly cpu: Cpu;
  protected readonly memory: Memory;
  /** This CPU's `rcu_data`. */
  protected readonly base: Pointer;

  constructor(cpu: Cpu, rcuData: Pointer) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.base = rcuData;
  }

  /** Begins a read section; sections nest, and may be begun anywhere.  Linux: rcu_read_lock. */
  readLock(): void {
    this.cpu.preemptDisable();
    if (checks) this.noteReadLock();
  }

  /** @rcu read */
  readUnlock(): void {
    if (checks) this.noteReadUnlock();
    this.cpu.preemptEnable();
  }

  /** Loads a pointer whose target stays until the section ends.  Linux: rcu_dereference.  @rcu read */
  dereference(address: Pointer): Pointer {
    if (checks && !this.isReading) this.reportSuspicious("rcu_dereference", address);
    return this.memory.load(address);
  }

  /** Publishes a pointer: who loads it sees all that was written before.  Linux: rcu_assign_pointer. */
  assign(address: Pointer, target: Pointer): void {
    this.memory.store(address, target);
  }

  /** Whether this CPU is inside a read section.  Linux: rcu_read_lock_sched_held. */
  get isReading(): boolean {
    return this.cpu.inAtomic;
  }

  private noteReadLock(): void {
    const { memory, cpu } = this;
    if ((memory.read(this.base + data.idleCount) & 1) === 0)
      bug(`cpu ${cpu.id}: RCU used illegally from extended quiescent state!`);
    memory.write(this.base + data.nesting, memory.read(this.base + data.nesting) + 1);
  }

  private noteReadUnlock(): void {
    const nesting = this.memory.read(this.base + data.nesting) - 1;
    if (nesting < 0) bug(`cpu ${this.cpu.id}: rcu_read_unlock without rcu_read_lock`);
    this.memory.write(this.base + data.nesting, nesting);
  }

  private reportSuspicious(what: string, address: Pointer): never {
    bug(
      `cpu ${this.cpu.id}: suspicious ${what}() usage outside a read section, of word 0x${(address * 4).toString(16)}`,
    );
  }
}
