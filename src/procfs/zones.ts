/** The zones that a report goes through. */

import type { Topology } from "../hardware/topology.ts";
import type { NodeRef } from "../mm/pages/node.ts";
import { Zone, type ZoneRef } from "../mm/pages/zone.ts";
import { ZONE_NAMES, ZoneIndex } from "../mm/pages/zone-index.ts";
import type { ProcSource } from "./source.ts";

export interface ProcZone {
  readonly ref: ZoneRef;
  readonly node: number;
  readonly nodeRef: NodeRef;
  readonly index: number;
  readonly name: string;
  readonly isPopulated: boolean;
}

/**
 * Indexes of the zones that this machine's kind of kernel has, populated or not: the limits decide, as CONFIG_ZONE_DMA,
 * CONFIG_ZONE_DMA32 and CONFIG_HIGHMEM do.  There is no device memory, so there is no ZONE_DEVICE.
 */
export function configuredZones({ zones }: Topology): number[] {
  const { dmaBytes, dma32Bytes, lowmemBytes } = zones;
  return [
    ...(dmaBytes > 0 ? [ZoneIndex.DMA] : []),
    ...(dma32Bytes > dmaBytes ? [ZoneIndex.DMA32] : []),
    ZoneIndex.NORMAL,
    ...(lowmemBytes < Number.POSITIVE_INFINITY ? [ZoneIndex.HIGHMEM] : []),
    ZoneIndex.MOVABLE,
  ];
}

/** Zones by node, lowest first; populated ones only, or all.  Linux: walk_zones_in_node. */
export function zonesOf(source: ProcSource, which: "populated" | "all"): ProcZone[] {
  const { frames } = source.pages;
  const zones: ProcZone[] = [];
  for (let node = 0; node < frames.nodeCount; node++) {
    for (const index of configuredZones(source.topology)) {
      const ref = frames.zoneAt(node, index);
      const isPopulated = frames.memory.read(ref + Zone.presentPages) !== 0;
      if (!isPopulated && which === "populated") continue;
      zones.push({ ref, node, nodeRef: frames.nodeAt(node), index, name: ZONE_NAMES[index], isPopulated });
    }
  }
  return zones;
}

/** Runs `read` with the zone's lock held.  @takes zone.lock */
export function underZoneLock<T>({ spin }: ProcSource, { ref }: ProcZone, read: () => T): T {
  const irqs = spin.lockIrqSave(ref + Zone.lock);
  const result = read();
  spin.unlockIrqRestore(ref + Zone.lock, irqs);
  return result;
}
