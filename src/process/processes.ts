/** What one CPU has for address spaces, put together: the kernel's `processes`. */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Pfn } from "../memory/units.ts";
import { ZoneStat } from "../mm/pages/counters.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { Zone, type ZoneRef } from "../mm/pages/zone.ts";
import type { Paging } from "../mm/shootdown/paging.ts";
import { UserFault } from "../mm/shootdown/user-access.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { CpuMasks } from "../sync/cpumask.ts";
import type { Functions } from "../sync/functions.ts";
import type { Onces } from "../sync/once.ts";
import type { PerCpuCounters } from "../sync/percpu-counter.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { Task } from "../sync/task.ts";
import type { WaitQueues } from "../sync/wait-queue.ts";
import { Accounting } from "./accounting.ts";
import { AddressSpaces } from "./address-spaces.ts";
import { AnonPages } from "./anon-pages.ts";
import { AnonVmas } from "./anon-vma.ts";
import { Brk } from "./brk.ts";
import { TableCopier } from "./copy-tables.ts";
import { FaultPages } from "./fault-pages.ts";
import { Faults } from "./faults.ts";
import { FileFaults } from "./file-faults.ts";
import type { InodeRef } from "./file-layout.ts";
import { FilePages } from "./file-pages.ts";
import { FileWrites } from "./file-writes.ts";
import { Files } from "./files.ts";
import { Fork } from "./fork.ts";
import { Madvise } from "./madvise.ts";
import { MapleTrees } from "./maple-tree.ts";
import { MappedRanges } from "./mapped-ranges.ts";
import { Mlock } from "./mlock.ts";
import { MlockPages, type MlockSlots } from "./mlock-pages.ts";
import { Mmap } from "./mmap.ts";
import { TableMover } from "./move-tables.ts";
import { Mprotect } from "./mprotect.ts";
import { Mremap } from "./mremap.ts";
import { Munmap } from "./munmap.ts";
import { PageCache } from "./page-cache.ts";
import { PageLocks } from "./page-lock.ts";
import { ProcessCaches } from "./process-caches.ts";
import { Rss } from "./rss.ts";
import { type PageUnmapper, Shmem } from "./shmem.ts";
import { StackGrowth } from "./stack-growth.ts";
import { SystemCalls } from "./system-calls.ts";
import { TryToUnmap } from "./try-to-unmap.ts";
import { UnmappedAreas } from "./unmapped-area.ts";
import { UserSignal } from "./user-signal.ts";
import { contextOf, type MmRef } from "./vm-area.ts";
import type { VmSettings } from "./vm-settings.ts";
import { MmapLocks } from "./vma-lock.ts";
import { VmaMerge } from "./vma-merge.ts";
import { Vmas } from "./vmas.ts";

export interface ProcessParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwsems: RwSemaphores;
  readonly functions: Functions;
  readonly onces: Onces;
  readonly rcu: Rcu;
  readonly counters: PerCpuCounters;
  readonly masks: CpuMasks;
  readonly waitQueues: WaitQueues;
  readonly pages: PageAllocator;
  readonly slabs: SlabCaches;
  readonly paging: Paging;
  readonly slots: ProcessSlots;
  readonly vmSettings: VmSettings;
}

export interface ProcessSlots {
  readonly caches: Slot;
  readonly maple: Slot;
  readonly commit: Slot;
  readonly pageLocks: Slot;
  readonly files: Slot;
  readonly mlock: MlockSlots;
}

export class Processes {
  declare readonly mapleTrees: MapleTrees;
  declare readonly mmapLocks: MmapLocks;
  declare readonly anonVmas: AnonVmas;
  declare readonly vmas: Vmas;
  declare readonly merge: VmaMerge;
  declare readonly accounting: Accounting;
  declare readonly rss: Rss;
  declare readonly anonPages: AnonPages;
  /** Pages of locked VMAs. */
  declare readonly mlocks: MlockPages;
  declare readonly files: Files;
  declare readonly cache: PageCache;
  declare readonly shmem: Shmem;
  declare readonly filePages: FilePages;
  declare readonly pageLocks: PageLocks;
  declare readonly faults: Faults;
  declare readonly ranges: MappedRanges;
  /** Pages of files that ask, and cleaning them. */
  declare readonly writes: FileWrites;
  declare readonly spaces: AddressSpaces;
  declare readonly calls: SystemCalls;
  /** Takes pages away from who maps them. */
  declare readonly reclaim: TryToUnmap;
  declare private readonly caches: ProcessCaches;
  declare private readonly parts: ProcessParts;

  constructor(parts: ProcessParts) {
    const { cpu, paging, pages, counters, slots } = parts;
    const { memory } = cpu;
    this.parts = parts;
    this.caches = new ProcessCaches(memory, slots.caches);
    this.mapleTrees = new MapleTrees({ ...parts, slot: slots.maple });
    const base = { ...parts, memory, caches: this.caches, mapleTrees: this.mapleTrees };
    const dropMm = (mm: MmRef): void => this.spaces.drop(mm);
    this.mmapLocks = new MmapLocks({ ...base, dropMm });
    this.anonVmas = new AnonVmas(base);
    this.vmas = new Vmas({ ...base, mmapLocks: this.mmapLocks, anonVmas: this.anonVmas });
    this.merge = new VmaMerge(this.vmas);
    this.rss = new Rss(memory, counters);
    this.accounting = new Accounting({
      memory,
      counters,
      slot: slots.commit,
      settings: parts.vmSettings,
      freePages: () => pages.vmstat.globalZoneState(ZoneStat.nr_free_pages),
      cpus: parts.masks.cpus,
      totalPages: () => totalPages(pages),
    });
    const { cpus } = parts.masks;
    this.mlocks = new MlockPages({ ...parts, cpus, slots: slots.mlock });
    this.anonPages = new AnonPages(memory, pages, this.mlocks);
    this.pageLocks = new PageLocks(pages.frames, parts.waitQueues, slots.pageLocks);
    this.cache = new PageCache(base);
    const evict = (inode: InodeRef): void => this.shmem.evict(inode);
    this.files = new Files({ ...base, slot: slots.files, evict });
    this.filePages = new FilePages(memory, pages, this.files);
    this.vmas.install(this.files);
    const { mmapLocks, vmas, merge, rss, accounting, anonVmas, anonPages } = this;
    const { filePages, pageLocks, cache, files } = this;
    const unmap: PageUnmapper = (area, start, end, evenCows) =>
      this.ranges.unmapFile(area, start, end, evenCows);
    this.shmem = new Shmem({ ...base, accounting, files, cache, pageLocks, filePages, unmap });
    const { shmem } = this;
    const of = { filePages, pageLocks, cache, files, shmem };
    const { mlocks } = this;
    const own = { ...base, ...of, mlocks, mmapLocks, vmas, merge, rss, accounting, anonVmas, anonPages };
    const { tables, shootdown } = paging;
    this.writes = new FileWrites({ ...own, tables, shootdown });
    const { writes } = this;
    const faultPages = new FaultPages(own);
    const fileFaults = new FileFaults({ ...own, tables, shootdown, faultPages, writes });
    const zeroPage = (): Pfn => this.caches.zeroPage;
    const stacks = new StackGrowth({ ...own, minAddress: parts.vmSettings.mmapMinAddr });
    this.faults = new Faults({ ...own, tables, shootdown, fileFaults, stacks, writes, zeroPage });
    this.ranges = new MappedRanges({ ...own, faults: this.faults, writes });
    this.spaces = new AddressSpaces({ ...own, tables, unmapper: this.ranges });
    this.reclaim = new TryToUnmap(own);
    this.calls = this.makeCalls();
    paging.user.install((address, code) => {
      const mm = this.current;
      // An address space without VMAs: nobody can make the access good.
      if (mm === 0) throw new UserFault(address, code);
      // The kernel's half is nobody's VMA, whatever is mapped there.  Linux: do_kern_addr_fault, bad_area_nosemaphore.
      if (address < 0) throw new UserSignal("SEGV", "MAPERR", address);
      this.faults.handle(mm, address, code);
    });
  }

  static declare(layout: ImageLayout): ProcessSlots {
    return {
      caches: ProcessCaches.declare(layout),
      maple: MapleTrees.declare(layout),
      commit: Accounting.declare(layout),
      pageLocks: PageLocks.declare(layout),
      files: Files.declare(layout),
      mlock: MlockPages.declare(layout),
    };
  }

  /** Makes what all processes share, if nobody has: before the first process.  @may-sleep */
  start(): void {
    const { onces, slabs, pages } = this.parts;
    const { mapleTrees, anonVmas, accounting } = this;
    const beginAccounting = (): void => {
      if (!accounting.init()) bug("no per-CPU memory for the count of committed pages");
    };
    this.caches.init({
      onces,
      slabs,
      pages,
      mapleTrees,
      beginAccounting,
      formatFiles: () => {
        this.pageLocks.format();
        this.files.format();
        this.mlocks.format();
      },
      constructAnonVma: anonVmas.construct,
    });
  }

  /** The address space that this CPU's task runs in; 0 for a kernel thread. */
  get current(): MmRef {
    const { cpu } = this.parts;
    return cpu.memory.read(cpu.current + Task.mm);
  }

  /** This CPU's task runs in `mm` from here on; 0: as a kernel thread.  Linux: kthread_use_mm, kthread_unuse_mm. */
  use(mm: MmRef): void {
    const { cpu, paging } = this.parts;
    cpu.memory.write(cpu.current + Task.mm, mm);
    this.mlocks.drain();
    paging.tlb.switchMm(mm === 0 ? paging.tlb.initMm : contextOf(mm));
  }

  private makeCalls(): SystemCalls {
    const pageOps = this.ranges;
    const { vmas, merge, accounting } = this;
    const areas = new UnmappedAreas(vmas, this.parts.vmSettings.mmapMinAddr);
    const munmap = new Munmap({ vmas, accounting, unmapper: pageOps });
    const { tables, ranges, shootdown, batch } = this.parts.paging;
    const mover = new TableMover({ tables, shootdown, batch, anonVmas: this.anonVmas, files: this.files });
    const { anonPages, filePages, rss } = this;
    const copier = new TableCopier({ ranges, vmas, anonPages, filePages, rss });
    const { files, writes } = this;
    const own = { vmas, merge, accounting, areas, munmap, pageOps, files, writes };
    const mlock = new Mlock(own);
    return new SystemCalls({
      ...own,
      mmap: new Mmap({ ...own, shared: this.shmem }),
      mprotect: new Mprotect(own),
      madvise: new Madvise(own),
      mlock,
      mremap: new Mremap({ ...own, mover }),
      fork: new Fork({ ...own, spaces: this.spaces, shootdown, copier }),
      brk: new Brk({ ...own, mlock }),
    });
  }
}

/** Frames that boot has given to the page allocator. */
function totalPages({ frames }: PageAllocator): number {
  const managed = (zone: ZoneRef): number => frames.memory.read(zone + Zone.managedPages);
  return frames.populatedZones().reduce((sum, zone) => sum + managed(zone), 0);
}
