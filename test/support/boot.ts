/**
 * A machine whose memory has booted on the test's own thread, with the page allocator of each CPU.
 */

import type { Cpu } from "../../src/hardware/cpu.ts";
import { type Topology, type TopologyConfig, topologyOf } from "../../src/hardware/topology.ts";
import { ImageLayout } from "../../src/memory/image.ts";
import type { PlainMemory } from "../../src/memory/plain-memory.ts";
import { type BootOptions, type BootResult, bootMemory } from "../../src/mm/boot/boot-memory.ts";
import { declareMm, type MmImage, planMemory } from "../../src/mm/boot/mm-image.ts";
import { PageAllocator } from "../../src/mm/pages/page-allocator.ts";
import { type SpinLockSlots, SpinLocks } from "../../src/sync/spinlock.ts";
import { soloCpu } from "./solo.ts";

export interface Booted extends BootResult {
  readonly topology: Topology;
  readonly memory: PlainMemory;
  readonly image: ImageLayout;
  readonly mm: MmImage;
  /** As handed over, in order. */
  readonly blocks: readonly { pfn: number; order: number }[];
  /** One a CPU. */
  readonly cpus: readonly Cpu[];
  readonly locks: readonly SpinLocks[];
  readonly allocators: readonly PageAllocator[];
  readonly lockSlots: SpinLockSlots;
}

export function bootOnly(config: TopologyConfig, options: Partial<BootOptions> = {}): Booted {
  const topology = topologyOf(config);
  const plan = planMemory(topology);
  const { memory, all } = soloCpu({ bytes: plan.ramBytes, cpus: topology.possibleCpus });
  const image = new ImageLayout();
  const mm = declareMm(image, plan);
  const lockSlots = SpinLocks.declare(image, topology.possibleCpus);
  const blocks: { pfn: number; order: number }[] = [];
  const allocators: PageAllocator[] = [];
  const locks: SpinLocks[] = [];
  const attachBuddy = () => {
    for (const cpu of all) {
      locks.push(new SpinLocks(cpu, lockSlots));
      const localNode = topology.cpuNode[cpu.id];
      allocators.push(
        new PageAllocator({ cpu, locks: locks[cpu.id], globals: mm.globals.address, localNode }),
      );
    }
    return (pfn: number, order: number) => {
      blocks.push({ pfn, order });
      allocators[0].releasePages(pfn, order);
    };
  };
  const result = bootMemory({ memory, image, mm, attachBuddy, options: { banner: "smpsim", ...options } });
  return { ...result, topology, memory, image, mm, blocks, cpus: all, locks, allocators, lockSlots };
}
