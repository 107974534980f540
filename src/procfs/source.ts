/**
 * What a report reads: the parts of a kernel that it needs, so that a report runs wherever these parts are.
 *
 * Reports change nothing but what a reader of /proc changes on a real machine: a zone's lock is taken and released.
 * They may run while other CPUs work; the sum of a table is exact only at rest.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Topology } from "../hardware/topology.ts";
import type { Regions } from "../memory/regions.ts";
import type { BootRecord } from "../mm/boot/boot-info.ts";
import type { Frames } from "../mm/pages/frames.ts";
import type { Vmstat } from "../mm/pages/vmstat.ts";
import type { PerCpuAllocator } from "../mm/percpu/percpu-allocator.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { KernelStacks } from "../mm/stacks/kernel-stacks.ts";
import type { Vmalloc } from "../mm/vmap/vmalloc.ts";
import type { Accounting } from "../process/accounting.ts";
import type { Functions } from "../sync/functions.ts";
import type { LockStatSlots } from "../sync/lock-stat.ts";
import type { PerCpu } from "../sync/percpu.ts";
import type { SpinLocks } from "../sync/spinlock.ts";

/** The machine's kernel is one. */
export interface ProcSource {
  /** The CPU that reads. */
  readonly cpu: Cpu;
  readonly topology: Topology;
  readonly record: BootRecord;
  readonly spin: SpinLocks;
  readonly image: { readonly spin: LockStatSlots };
  /** Null: the machine has booted its memory only. */
  readonly perCpuChunks: PerCpuAllocator | null;
  /** Null likewise. */
  readonly vmap: Vmalloc | null;
  /** Null: the same. */
  readonly stacks: KernelStacks | null;
  /** Null: the same. */
  readonly processes: { readonly accounting: Accounting } | null;
  readonly pages: { readonly frames: Frames; readonly vmstat: Vmstat };
}

/** What reports on object caches read besides. */
export interface SlabSource {
  readonly regions: Regions;
  readonly slabs: SlabCaches;
  readonly perCpu: PerCpu;
  readonly functions: Functions;
}
