/**
 * What memory management declares in the kernel image, and the plan behind it: equal on every CPU, before memory exists.
 */

import type { Topology } from "../../hardware/topology.ts";
import type { ImageLayout, PerCpuSlot, Slot } from "../../memory/image.ts";
import type { Pointer } from "../../memory/units.ts";
import { Node } from "../pages/node.ts";
import { ZONE_SLOTS } from "../pages/page-flags.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { PerCpuPages } from "../pages/per-cpu-pages.ts";
import { PerCpuNodestat, PerCpuZonestat, VmEventState } from "../pages/per-cpu-stats.ts";
import { Zone } from "../pages/zone.ts";
import { type FirmwareMap, firmwareMap } from "./firmware.ts";
import { type MemMapPlan, planMemMap } from "./mem-map.ts";
import { MemblockState } from "./memblock.ts";
import { planZones, type ZonePlan } from "./zone-plan.ts";

export interface MemoryPlan {
  readonly topology: Topology;
  readonly firmware: FirmwareMap;
  readonly zones: ZonePlan;
  readonly memMap: MemMapPlan;
}

/** A zone that exists: where its structures are among the declared ones. */
export interface ZonePlace {
  readonly node: number;
  readonly index: number;
  /** Position among the populated zones: of its per-CPU parts. */
  readonly position: number;
}

/** Everything about memory that follows from the machine's parts alone; `memMap.ramBytes` is the size of RAM. */
export function planMemory(topology: Topology): MemoryPlan {
  const firmware = firmwareMap(topology);
  const { ranges } = firmware;
  const zones = planZones({
    ranges,
    nodes: topology.nodes,
    limits: topology.zones,
    kernelcorePages: topology.kernelcorePages,
    movablecorePages: topology.movablecorePages,
  });
  return { topology, firmware, zones, memMap: planMemMap(ranges, topology.nodes) };
}

/** Memory management's slots of the kernel image. */
export class MmImage {
  readonly plan: MemoryPlan;
  readonly populated: readonly ZonePlace[];
  readonly globals: Slot;
  readonly memblock: Slot;
  readonly zones: Slot;
  readonly nodes: Slot;
  /** One per_cpu_pages, one per_cpu_zonestat for each populated zone. */
  readonly pagesets: PerCpuSlot;
  readonly zonestats: PerCpuSlot;
  readonly nodestats: PerCpuSlot;
  readonly events: PerCpuSlot;

  constructor(image: ImageLayout, plan: MemoryPlan) {
    this.plan = plan;
    this.populated = plan.zones.nodes
      .flatMap((node) => node.zones.map((zone) => ({ node: node.id, index: zone.index })))
      .map((place, position) => ({ ...place, position }));
    const count = this.populated.length;
    const { nodes } = plan.topology;
    this.globals = image.place("page_globals", PageGlobals);
    this.memblock = image.place("memblock", MemblockState);
    this.zones = image.place("zone", Zone, nodes * ZONE_SLOTS);
    this.nodes = image.place("node_data", Node, nodes);
    this.pagesets = image.perCpu("per_cpu_pageset", PerCpuPages, count);
    this.zonestats = image.perCpu("per_cpu_zonestat", PerCpuZonestat, count);
    this.nodestats = image.perCpu("per_cpu_nodestat", PerCpuNodestat, nodes);
    this.events = image.perCpu("vm_event_states", VmEventState);
  }

  zoneAt(node: number, index: number): Pointer {
    return this.zones.at(node * ZONE_SLOTS + index);
  }
}

/** Declares memory management's part of the image.  Call it at the same place of the order on every CPU. */
export function declareMm(image: ImageLayout, plan: MemoryPlan): MmImage {
  return new MmImage(image, plan);
}
