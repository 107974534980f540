/**
 * Invalidation of kernel addresses in the TLBs of all CPUs, each on its own thread.
 *
 * Up to 33 pages are invalidated one by one; beyond, it is cheaper to forget everything.  A CPU that is offline takes no
 * interrupts: it empties its TLB when it leaves.
 *
 * Linux: arch/x86/mm/tlb.c flush_tlb_all, flush_tlb_kernel_range, do_flush_tlb_all, do_kernel_range_flush, tlb_single_page_flush_ceiling.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { OnlineCpus } from "../../sync/online.ts";
import type { TlbBroadcasts } from "../../sync/tlb-broadcast.ts";
import { VmEvent } from "../pages/counters.ts";
import type { Vmstat } from "../pages/vmstat.ts";
import { VmapCpu } from "./vmap-globals.ts";

/** Linux: tlb_single_page_flush_ceiling, pages. */
export const FLUSH_CEILING = 33;
const own = VmapCpu;
const BY_BROADCAST = shape.shootdown === "broadcast";

export class KernelFlush {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly calls: CrossCalls;
  declare private readonly online: OnlineCpus;
  declare private readonly info: Pointer;
  declare private readonly vmstat: Vmstat;
  declare private readonly broadcasts: TlbBroadcasts;
  declare private readonly allFunction: FunctionId;
  declare private readonly rangeFunction: FunctionId;

  /** `own`: this CPU's VmapCpu. */
  constructor(parts: {
    cpu: Cpu;
    calls: CrossCalls;
    online: OnlineCpus;
    functions: Functions;
    vmstat: Vmstat;
    broadcasts: TlbBroadcasts;
    own: Pointer;
  }) {
    const { cpu, functions } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.calls = parts.calls;
    this.online = parts.online;
    this.info = parts.own;
    this.vmstat = parts.vmstat;
    this.broadcasts = parts.broadcasts;
    this.allFunction = functions.register("do_flush_tlb_all", () => {
      this.vmstat.countEvents(VmEvent.nr_tlb_remote_flush_received, 1);
      cpu.tlb.flushAll();
    });
    this.rangeFunction = functions.register("do_kernel_range_flush", (_cpu, info) => this.flushPages(info));
  }

  /** No CPU uses any entry that it had before.  Linux: flush_tlb_all.  @irqs on */
  all(): void {
    this.vmstat.countEvents(VmEvent.nr_tlb_remote_flush, 1);
    if (BY_BROADCAST) this.broadcast(0, Infinity);
    else this.everywhere(this.allFunction);
  }

  /** No CPU uses an entry for the range that it had before.  Linux: flush_tlb_kernel_range.  @irqs on */
  range(start: number, end: number): void {
    const { cpu, memory, info } = this;
    if (BY_BROADCAST) {
      this.broadcast(start, end);
      return;
    }
    cpu.preemptDisable();
    memory.writeFloat64(info + own.flushStart, start);
    memory.writeFloat64(info + own.flushEnd, end);
    const isRange = end - start <= FLUSH_CEILING * PAGE_BYTES;
    this.everywhere(isRange ? this.rangeFunction : this.allFunction);
    cpu.preemptEnable();
  }

  /** By messages of the hardware.  Linux 6.15: invlpgb_flush_all, invlpgb_kernel_range_flush. */
  private broadcast(start: number, end: number): void {
    const { broadcasts } = this;
    if (end - start > FLUSH_CEILING * PAGE_BYTES) broadcasts.all();
    else broadcasts.pages(0, start, end, PAGE_BYTES);
    broadcasts.sync();
  }

  private everywhere(id: FunctionId): void {
    const { cpu, calls, info, online } = this;
    calls.onEach(id, info, true);
    // On the boot CPU before any is online.
    if (!online.has(cpu.id)) cpu.tlb.flushAll();
  }

  /** Another CPU's wish, in its own record: it waits until this has run.  @cpu local */
  private flushPages(info: Pointer): void {
    const { memory, cpu } = this;
    const end = memory.readFloat64(info + own.flushEnd);
    for (let at = memory.readFloat64(info + own.flushStart); at < end; at += PAGE_BYTES)
      cpu.tlb.flushPage(at, cpu.tlb.pcid);
  }
}
