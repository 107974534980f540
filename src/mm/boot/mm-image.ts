/**
 * What memory management declares in the kernel image, and the plan behind it: equal on every CPU, before memory exists.
 */

import type { Topology } from "../../hardware/topology.ts";
import type { ImageLayout, PerCpuSlot, Slot } from "../../memory/image.ts";
import { shape } from "../../memory/shape.ts";
import { embed, struct } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import { Node } from "../pages/node.ts";
import { ZONE_SLOTS } from "../pages/page-flags.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { PerCpuPages } from "../pages/per-cpu-pages.ts";
import { PerCpuNodestat, PerCpuZonestat, VmEventState } from "../pages/per-cpu-stats.ts";
import { Zone } from "../pages/zone.ts";
import { planWindow, type WindowPlan } from "../percpu/percpu-window.ts";
import { type FirmwareMap, firmwareMap } from "./firmware.ts";
import { type MemMapPlan, planMemMap } from "./mem-map.ts";
import { MemblockState } from "./memblock.ts";
import { planZones, type ZonePlan } from "./zone-plan.ts";

export interface MemoryPlan {
  readonly topology: Topology;
  readonly firmware: FirmwareMap;
  readonly zones: ZonePlan;
  readonly memMap: MemMapPlan;
  /** Addresses for per-CPU chunks beyond the first: beyond all else. */
  readonly perCpuWindow: WindowPlan;
  /** Bytes of simulated RAM, the windows included. */
  readonly ramBytes: number;
}

/** A zone that exists: where its structures are among the declared ones. */
export interface ZonePlace {
  readonly node: number;
  readonly index: number;
  /** Position among the populated zones: of its per-CPU parts. */
  readonly position: number;
}

/** Everything about memory that follows from the machine's parts alone. */
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
  const memMap = planMemMap(ranges, topology.nodes);
  const perCpuWindow = planWindow(topology, memMap.ramBytes / PAGE_BYTES);
  const ramBytes = memMap.ramBytes + perCpuWindow.pages * PAGE_BYTES;
  return { topology, firmware, zones, memMap, perCpuWindow, ramBytes };
}

/** An array that each CPU has; `at` is the element of CPU 0, and each next CPU's is `unitWords` further. */
export interface CpuParts {
  readonly unitWords: number;
  at(index: number): Pointer;
  of(cpu: number): Pointer;
}

/**
 * What a CPU has of a zone where nothing is padded: page lists and counters together, and the next CPU's right behind
 * them, as in an array indexed by CPU.  Linux 2.6.33 had such an array in struct zone, each element aligned to a line.
 */
const ZonePart = struct("zone_part", {
  pcp: embed(PerCpuPages, "atomic"),
  stats: embed(PerCpuZonestat, "owner-cpu"),
});

class PackedParts implements CpuParts {
  readonly unitWords: number;
  private readonly parts: Slot;
  private readonly offset: number;
  private readonly cpus: number;

  constructor(parts: Slot, offset: number, cpus: number) {
    this.parts = parts;
    this.offset = offset;
    this.cpus = cpus;
    this.unitWords = parts.stride;
  }

  at(index: number): Pointer {
    return this.parts.at(index * this.cpus) + this.offset;
  }

  of(cpu: number): Pointer {
    return this.at(0) + cpu * this.unitWords;
  }
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
  readonly pagesets: CpuParts;
  readonly zonestats: CpuParts;
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
    if (shape.padding) {
      this.pagesets = image.perCpu("per_cpu_pageset", PerCpuPages, count);
      this.zonestats = image.perCpu("per_cpu_zonestat", PerCpuZonestat, count);
    } else {
      const cpus = plan.topology.possibleCpus;
      const parts = image.place("zone_parts", ZonePart, count * cpus);
      this.pagesets = new PackedParts(parts, ZonePart.pcp, cpus);
      this.zonestats = new PackedParts(parts, ZonePart.stats, cpus);
    }
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
