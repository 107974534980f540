/**
 * Invalidation of kernel addresses in the TLBs of all CPUs, each on its own thread.
 *
 * Up to 33 pages are invalidated one by one; beyond, it is cheaper to forget everything.  A CPU that is offline takes no
 * interrupts: it empties its TLB when it leaves.
 *
 * Linux: arch/x86/mm/tlb.c flush_tlb_kernel_range, do_flush_tlb_all, do_kernel_range_flush, tlb_single_page_flush_ceiling.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { OnlineCpus } from "../../sync/online.ts";
import { VmapCpu } from "./vmap-globals.ts";

/** Linux: tlb_single_page_flush_ceiling, pages. */
export const FLUSH_CEILING = 33;
/** The kernel's own tables are loaded with this PCID; their entries are global. */
export const KERNEL_PCID = 0;
const own = VmapCpu;

export class KernelFlush {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly calls: CrossCalls;
  declare private readonly online: OnlineCpus;
  declare private readonly info: Pointer;
  declare private readonly allFunction: FunctionId;
  declare private readonly rangeFunction: FunctionId;

  /** `own`: this CPU's VmapCpu. */
  constructor(parts: {
    cpu: Cpu;
    calls: CrossCalls;
    online: OnlineCpus;
    functions: Functions;
    own: Pointer;
  }) {
    const { cpu, functions } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.calls = parts.calls;
    this.online = parts.online;
    this.info = parts.own;
    this.allFunction = functions.register("do_flush_tlb_all", () => cpu.tlb.flushAll());
    this.rangeFunction = functions.register("do_kernel_range_flush", (_cpu, info) => this.flushPages(info));
  }

  /** No CPU uses an entry for the range that it had before.  @irqs on */
  range(start: number, end: number): void {
    const { cpu, memory, calls, info, online } = this;
    const ranged = end - start <= FLUSH_CEILING * PAGE_BYTES;
    cpu.preemptDisable();
    memory.writeFloat64(info + own.flushStart, start);
    memory.writeFloat64(info + own.flushEnd, end);
    calls.onEach(ranged ? this.rangeFunction : this.allFunction, info, true);
    // On the boot CPU before any is online.
    if (!online.has(cpu.id)) cpu.tlb.flushAll();
    cpu.preemptEnable();
  }

  /** Another CPU's wish, in its own record: it waits until this has run.  @cpu local */
  private flushPages(info: Pointer): void {
    const { memory, cpu } = this;
    const end = memory.readFloat64(info + own.flushEnd);
    for (let at = memory.readFloat64(info + own.flushStart); at < end; at += PAGE_BYTES)
      cpu.tlb.flushPage(at, KERNEL_PCID);
  }
}
