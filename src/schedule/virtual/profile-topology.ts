/**
 * The topology of the machine that a profile describes, for as many of its CPUs as a run uses.
 */

import type { TopologyConfig } from "../../hardware/topology.ts";
import type { Profile } from "./profile.ts";

/** Settings that the user has made go before the profile's. */
type Chosen = Partial<TopologyConfig>;

/**
 * What the profile says of a machine with `cpus` CPUs, without what the user chose.  CPUs fill one node after the other,
 * as when a benchmark is bound to CPU 0, 1, 2 and so on of a real machine: the nodes without CPUs keep their memory.
 * With more CPUs than the machine has, its nodes grow.
 *
 * Who chooses another number of sockets or nodes describes a machine of their own: then only the size of the caches
 * and clusters comes from the profile.
 */
export function topologyDefaults(profile: Profile, cpus: number, chosen: Chosen): Chosen {
  const { sockets, nodes, clusterCpus, cacheBytes, distances, maxCpus } = profile.machine;
  const other =
    (chosen.sockets ?? sockets) !== sockets ||
    (chosen.nodes ?? nodes) !== nodes ||
    (chosen.memoryMap !== undefined && chosen.nodes === undefined);
  const ofNode = Math.ceil(Math.max(cpus, maxCpus) / nodes);
  const housekeeping = chosen.housekeepingCpus ?? 0;
  const defaults: Chosen = {
    ...(clusterCpus === undefined ? {} : { clusterCpus: Math.min(clusterCpus, cpus) }),
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
    ...(other
      ? {}
      : {
          sockets,
          nodes,
          distances,
          cpuNodes: Array.from({ length: cpus + housekeeping }, (_, cpu) =>
            cpu < cpus ? Math.floor(cpu / ofNode) : (cpu - cpus) % nodes,
          ),
        }),
  };
  const left = Object.entries(defaults).filter(([key]) => chosen[key as keyof Chosen] === undefined);
  return Object.fromEntries(left) as Chosen;
}
