/**
 * The kernel image: what every subsystem declares, in the one order that all CPUs follow.
 */

import type { Topology } from "../hardware/topology.ts";
import { ImageLayout, type PerCpuSlot, type Slot } from "../memory/image.ts";
import type { SlabKind } from "../memory/shape.ts";
import type { BootOptions } from "../mm/boot/boot-memory.ts";
import { declareMm, type MmImage, planMemory } from "../mm/boot/mm-image.ts";
import { PERCPU_DYNAMIC_BYTES, PERCPU_RESERVED_BYTES } from "../mm/boot/percpu-chunk.ts";
import { declarePerCpu, type PcpuSlots } from "../mm/percpu/percpu-state.ts";
import { Paging, type PagingSlots } from "../mm/shootdown/paging.ts";
import { Failslab } from "../mm/slab/failslab.ts";
import { Kmalloc } from "../mm/slab/kmalloc.ts";
import { SlabCaches, type SlabSlots } from "../mm/slab/slab-caches.ts";
import { KernelStacks } from "../mm/stacks/kernel-stacks.ts";
import { Vmalloc } from "../mm/vmap/vmalloc.ts";
import type { VmapSlots } from "../mm/vmap/vmap-parts.ts";
import { Processes, type ProcessSlots } from "../process/processes.ts";
import { declareTasks, type TaskSlots } from "../process/tasks/task-layout.ts";
import { Functions } from "../sync/functions.ts";
import { type CallSlots, CrossCalls } from "../sync/ipi.ts";
import { OnlineCpus } from "../sync/online.ts";
import { Rcu } from "../sync/rcu.ts";
import type { RcuSlots } from "../sync/rcu-grace-period.ts";
import { Semaphores } from "../sync/semaphore.ts";
import { declareSleepingLocks, type SleepingLockSlots } from "../sync/sleeper.ts";
import { type SpinLockSlots, SpinLocks } from "../sync/spinlock.ts";
import { Tasks } from "../sync/task.ts";
import { TlbBroadcasts } from "../sync/tlb-broadcast.ts";
import { WaitQueues } from "../sync/wait-queue.ts";

export interface KernelImage {
  readonly layout: ImageLayout;
  readonly mm: MmImage;
  readonly spin: SpinLockSlots;
  readonly sleeping: SleepingLockSlots;
  readonly functions: Slot;
  readonly online: Slot;
  readonly calls: CallSlots;
  readonly broadcasts: PerCpuSlot;
  readonly rcu: RcuSlots;
  readonly perCpu: PcpuSlots;
  readonly tasks: PerCpuSlot;
  readonly irqStacks: PerCpuSlot;
  readonly waitEntries: PerCpuSlot;
  readonly semaphoreWaiters: PerCpuSlot;
  readonly slabs: SlabSlots;
  readonly kmalloc: Slot;
  readonly vmap: VmapSlots;
  readonly processes: ProcessSlots;
  /** Of programs: a CPU's own task is in `tasks`. */
  readonly tasksOfPrograms: TaskSlots;
  readonly failslab: Slot;
  readonly paging: PagingSlots;
}

/** Sizes that boot may be given, and that decide what is declared. */
export type ImageOptions = Pick<BootOptions, "perCpuReservedBytes" | "perCpuDynamicBytes">;

export function declareKernel(topology: Topology, boot: ImageOptions, slab: SlabKind): KernelImage {
  const layout = new ImageLayout();
  const cpus = topology.possibleCpus;
  return {
    layout,
    mm: declareMm(layout, planMemory(topology)),
    spin: SpinLocks.declare(layout, cpus),
    sleeping: declareSleepingLocks(layout),
    functions: Functions.declare(layout),
    online: OnlineCpus.declare(layout),
    calls: CrossCalls.declare(layout, cpus),
    broadcasts: TlbBroadcasts.declare(layout),
    rcu: Rcu.declare(layout),
    perCpu: declarePerCpu(
      layout,
      boot.perCpuReservedBytes ?? PERCPU_RESERVED_BYTES,
      boot.perCpuDynamicBytes ?? PERCPU_DYNAMIC_BYTES,
    ),
    tasks: Tasks.declare(layout),
    irqStacks: KernelStacks.declare(layout),
    waitEntries: WaitQueues.declare(layout),
    semaphoreWaiters: Semaphores.declare(layout),
    slabs: SlabCaches.declare(layout, slab, topology.nodes),
    kmalloc: Kmalloc.declare(layout),
    vmap: Vmalloc.declare(layout),
    processes: Processes.declare(layout),
    tasksOfPrograms: declareTasks(layout),
    failslab: Failslab.declare(layout),
    paging: Paging.declare(layout),
  };
}
