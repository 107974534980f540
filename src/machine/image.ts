/**
 * The kernel image: what every subsystem declares, in the one order that all CPUs follow.
 */

import type { Topology } from "../hardware/topology.ts";
import { ImageLayout, type Slot } from "../memory/image.ts";
import { declareMm, type MmImage, planMemory } from "../mm/boot/mm-image.ts";
import { Functions } from "../sync/functions.ts";
import { type CallSlots, CrossCalls } from "../sync/ipi.ts";
import { OnlineCpus } from "../sync/online.ts";
import { Rcu } from "../sync/rcu.ts";
import type { RcuSlots } from "../sync/rcu-grace-period.ts";
import { declareSleepingLocks, type SleepingLockSlots } from "../sync/sleeper.ts";
import { type SpinLockSlots, SpinLocks } from "../sync/spinlock.ts";

export interface KernelImage {
  readonly layout: ImageLayout;
  readonly mm: MmImage;
  readonly spin: SpinLockSlots;
  readonly sleeping: SleepingLockSlots;
  readonly functions: Slot;
  readonly online: Slot;
  readonly calls: CallSlots;
  readonly rcu: RcuSlots;
}

export function declareKernel(topology: Topology): KernelImage {
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
    rcu: Rcu.declare(layout),
  };
}
