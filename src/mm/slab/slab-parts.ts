/** What the object allocator of one CPU is made of. */

import type { Cpu } from "../../hardware/cpu.ts";
import type { SlabKind } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { Mutexes } from "../../sync/mutex.ts";
import type { OnlineCpus } from "../../sync/online.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import type { Failslab } from "./failslab.ts";
import type { SlabSlots } from "./slab-caches.ts";
import type { SlabSettings } from "./slab-settings.ts";

export interface SlabParts {
  readonly cpu: Cpu;
  readonly kind: SlabKind;
  readonly slots: SlabSlots;
  readonly settings: SlabSettings;
  readonly locks: SpinLocks;
  readonly mutexes: Mutexes;
  readonly functions: Functions;
  readonly calls: CrossCalls;
  readonly online: OnlineCpus;
  readonly perCpu: PerCpu;
  readonly rcu: Rcu;
  readonly pages: PageAllocator;
  readonly failslab: Failslab;
  readonly localNode: number;
  /** Each CPU's node. */
  readonly cpuNode: readonly number[];
  /** CPUs that run programs: the orders of slabs follow from it. */
  readonly cpus: number;
  /** Housekeeping CPUs included. */
  readonly possibleCpus: number;
  /** Writes to the kernel log. */
  readonly report: (text: string) => void;
}

/** What the door adds for the allocator behind it. */
export interface AllocatorParts extends SlabParts {
  /** SlabGlobals. */
  readonly globals: Pointer;
  /** Nodes with memory. */
  readonly nodes: readonly number[];
  /** Runs the reaper over all caches, unless somebody has slab_mutex. */
  readonly reap: () => void;
}
