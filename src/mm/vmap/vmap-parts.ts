/** What kernel virtual memory of one CPU is made of. */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Topology } from "../../hardware/topology.ts";
import type { PerCpuSlot, Slot } from "../../memory/image.ts";
import type { Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { Mutexes } from "../../sync/mutex.ts";
import type { OnlineCpus } from "../../sync/online.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { TlbBroadcasts } from "../../sync/tlb-broadcast.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import type { Kmalloc } from "../slab/kmalloc.ts";
import type { SlabCaches } from "../slab/slab-caches.ts";

export interface VmapSlots {
  readonly globals: Slot;
  readonly cpus: PerCpuSlot;
}

export interface VmapParts {
  readonly cpu: Cpu;
  readonly slots: VmapSlots;
  readonly locks: SpinLocks;
  readonly mutexes: Mutexes;
  readonly functions: Functions;
  readonly calls: CrossCalls;
  readonly broadcasts: TlbBroadcasts;
  readonly online: OnlineCpus;
  readonly rcu: Rcu;
  readonly slabs: SlabCaches;
  readonly heap: Kmalloc;
  readonly pages: PageAllocator;
  /** Where memory is. */
  readonly topology: Pick<Topology, "memory">;
  /** Of page tables. */
  readonly levels: 4 | 5;
  /** CPUs that there may ever be. */
  readonly possibleCpus: number;
  /** Writes to the kernel log. */
  readonly report: (text: string) => void;
}
