/**
 * A machine whose memory has booted on the test's own thread.  Blocks handed over are recorded and go on no list.
 */

import { type Topology, type TopologyConfig, topologyOf } from "../../src/hardware/topology.ts";
import { ImageLayout } from "../../src/memory/image.ts";
import type { PlainMemory } from "../../src/memory/plain-memory.ts";
import { type BootOptions, type BootResult, bootMemory } from "../../src/mm/boot/boot-memory.ts";
import { declareMm, type MmImage, planMemory } from "../../src/mm/boot/mm-image.ts";
import { soloCpu } from "./solo.ts";

export interface Booted extends BootResult {
  readonly topology: Topology;
  readonly memory: PlainMemory;
  readonly image: ImageLayout;
  readonly mm: MmImage;
  readonly blocks: readonly { pfn: number; order: number }[];
}

export function bootOnly(config: TopologyConfig, options: Partial<BootOptions> = {}): Booted {
  const topology = topologyOf(config);
  const plan = planMemory(topology);
  const { memory } = soloCpu({ bytes: plan.memMap.ramBytes });
  const image = new ImageLayout();
  const mm = declareMm(image, plan);
  const blocks: { pfn: number; order: number }[] = [];
  const result = bootMemory({
    memory,
    image,
    mm,
    attachBuddy: () => (pfn, order) => blocks.push({ pfn, order }),
    options: { banner: "smpsim", ...options },
  });
  return { ...result, topology, memory, image, mm, blocks };
}
