/** What reports read, of a machine that has booted on the test's own thread. */

import type { TopologyConfig } from "../../src/hardware/topology.ts";
import type { ProcSource } from "../../src/procfs/source.ts";
import { type Booted, bootOnly } from "./boot.ts";

export function procSource(config: TopologyConfig): ProcSource & { readonly booted: Booted } {
  const booted = bootOnly(config);
  const { topology, record, cpus, locks, lockSlots, allocators } = booted;
  return {
    booted,
    cpu: cpus[0],
    topology,
    record,
    spin: locks[0],
    image: { spin: lockSlots },
    perCpuChunks: null,
    vmap: null,
    stacks: null,
    processes: null,
    pages: allocators[0],
  };
}
