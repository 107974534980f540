/**
 * Address translation of one CPU, put together: tables, which address space is loaded, shootdown, user access.
 *
 * What an address space's owner does with it:
 *
 *   tables.initContext(mm)          a number and a top table             tables.endContext(mm)
 *   tlb.switchMm(mm), enterLazy()   when tasks change
 *   tables.pteAllocMapLock(...)     to map; no flush for an entry that was empty
 *   gather(mm) ... finish()         to unmap; or shootdown.flushMmRange after other changes
 *
 * Linux: include/linux/mm.h, mmu_context.h, asm-generic/tlb.h.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { ImageLayout, PerCpuSlot, Slot } from "../../memory/image.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { TlbBroadcasts } from "../../sync/tlb-broadcast.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { MmContext, type MmRef } from "../pgtable/mm-context.ts";
import { PageTables } from "../pgtable/page-tables.ts";
import { TableRanges } from "../pgtable/table-ranges.ts";
import type { Vmalloc } from "../vmap/vmalloc.ts";
import { AsidGlobals, GlobalAsids } from "./global-asids.ts";
import { MmuGather, type PageRelease } from "./mmu-gather.ts";
import { Shootdown } from "./shootdown.ts";
import { StaleWatch } from "./stale-watch.ts";
import { TableFree } from "./table-free.ts";
import { TlbSwitch } from "./tlb-switch.ts";
import { UnmapBatch } from "./unmap-batch.ts";
import { UserAccess } from "./user-access.ts";

export interface PagingSlots {
  readonly globals: Slot;
  readonly cpus: PerCpuSlot;
  readonly initMm: Slot;
  readonly asids: Slot;
}

export interface PagingParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly masks: CpuMasks;
  readonly functions: Functions;
  readonly calls: CrossCalls;
  readonly rcu: Rcu;
  readonly pages: PageAllocator;
  readonly slots: PagingSlots;
  readonly broadcasts: TlbBroadcasts;
  /** Whose tables are the kernel's half. */
  readonly vmap: Vmalloc;
  /** Of page tables. */
  readonly levels: 4 | 5;
}

export class Paging {
  declare readonly tables: PageTables;
  declare readonly ranges: TableRanges;
  declare readonly tlb: TlbSwitch;
  declare readonly shootdown: Shootdown;
  declare readonly user: UserAccess;
  declare readonly slots: PagingSlots;
  declare readonly asids: GlobalAsids;
  /** Flushes that reclaim has put off. */
  declare readonly batch: UnmapBatch;
  declare private readonly parts: PagingParts;
  declare private readonly tableFree: TableFree;
  declare private readonly putPage: PageRelease;

  constructor(parts: PagingParts) {
    const { cpu, pages, slots } = parts;
    const { memory } = cpu;
    const initMm = slots.initMm.address;
    this.parts = parts;
    this.slots = slots;
    const kernelRoot = (): number => parts.vmap.tables.rootPfn();
    this.tables = new PageTables({
      ...parts,
      kernel: parts.vmap.tables,
      globals: slots.globals.address,
      destroyContext: (mm) => this.asids.free(mm),
    });
    this.ranges = new TableRanges(this.tables);
    this.tlb = new TlbSwitch({ ...parts, kernelRoot, slot: slots.cpus, initMm });
    this.asids = new GlobalAsids({ ...parts, memory, slot: slots.cpus, globals: slots.asids.address });
    const watch = new StaleWatch(cpu, this.tables, this.tlb);
    this.shootdown = new Shootdown({
      ...parts,
      vmstat: pages.vmstat,
      slot: slots.cpus,
      tlb: this.tlb,
      watch,
      kernelFlush: parts.vmap.flush,
      asids: this.asids,
    });
    this.batch = new UnmapBatch({ ...parts, slot: slots.cpus, shootdown: this.shootdown });
    this.user = new UserAccess(cpu, watch, this.tables.levels);
    this.tableFree = new TableFree({ ...parts, memory, tables: this.tables });
    this.putPage = (pfn) => pages.putPage(pfn);
  }

  static declare(layout: ImageLayout): PagingSlots {
    return {
      globals: PageTables.declare(layout),
      initMm: layout.place("init_mm", MmContext),
      asids: layout.place("asid_globals", AsidGlobals),
      cpus: TlbSwitch.declare(layout),
    };
  }

  /** First state, on the boot CPU. */
  format(): void {
    this.tables.format(this.slots.initMm.address);
    this.tlb.format();
    this.asids.format();
  }

  /** Begins an unmapping; `release` gives a page back after the flush.  Linux: tlb_gather_mmu, tlb_gather_mmu_fullmm. */
  gather(mm: MmRef, fullmm = false, release: PageRelease = this.putPage): MmuGather {
    const { pages, cpu } = this.parts;
    const { shootdown, tableFree } = this;
    return new MmuGather({ memory: cpu.memory, pages, shootdown, tableFree }, mm, fullmm, release);
  }

  /** This CPU leaves the run: no address space may wait for it.  Linux: idle_task_exit. */
  leave(): void {
    this.tlb.switchMm(this.tlb.initMm);
  }
}
