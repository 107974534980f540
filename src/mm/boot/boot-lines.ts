/**
 * The lines of the boot log that describe memory.
 *
 * Linux: arch/x86/kernel/e820.c, mm/mm_init.c free_area_init, mem_init_print_info; drivers/acpi/numa/srat.c.
 */

import type { Topology } from "../../hardware/topology.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { ZONE_NAMES, ZoneIndex } from "../pages/zone-index.ts";
import { type BootLog, hex64, memRange, pfnRange } from "./boot-log.ts";
import type { MemoryPlan } from "./mm-image.ts";

export function logFirmwareMap(log: BootLog, { firmware, topology }: MemoryPlan): void {
  log.print("BIOS-provided physical RAM map:");
  for (const e of firmware.entries) log.print(`BIOS-e820: ${memRange(e.start, e.end)} ${e.kind}`);
  if (topology.memory[0].startPfn === 0)
    log.print(`e820: update ${shortRange(0, PAGE_BYTES)} usable ==> reserved`);
  log.print(`last_pfn = 0x${topology.maxPfn.toString(16)} max_arch_pfn = 0x200000`);
}

/** Nodes as the firmware's tables give them. */
export function logNodes(log: BootLog, topology: Topology): void {
  if (topology.nodes === 1) {
    log.print("No NUMA configuration found");
    log.print(`Faking a node at ${pfnRange(0, topology.maxPfn)}`);
    return;
  }
  for (const [cpu, node] of topology.cpuNode.entries()) {
    log.print(`SRAT: PXM ${node} -> APIC 0x${cpu.toString(16).padStart(2, "0")} -> Node ${node}`);
  }
  for (const { startPfn, endPfn, node } of topology.memory) {
    log.print(
      `ACPI: SRAT: Node ${node} PXM ${node} ${shortRange(startPfn * PAGE_BYTES, endPfn * PAGE_BYTES)}`,
    );
  }
  log.print(`NUMA: Initialized distance table, cnt=${topology.nodes}`);
}

export function logZones(log: BootLog, { zones, firmware, topology }: MemoryPlan): void {
  log.print("Zone ranges:");
  for (const [index, { low, high }] of zones.bounds.entries()) {
    if (!hasZone(topology, index)) continue;
    const range = low === high ? "empty" : pfnRange(low, high);
    log.print(`  ${ZONE_NAMES[index].padEnd(8)} ${range}`);
  }
  log.print("Movable zone start for each node");
  for (const [node, pfn] of zones.movableStart.entries()) {
    if (pfn !== 0) log.print(`  Node ${node}: ${hex64(pfn * PAGE_BYTES)}`);
  }
  log.print("Early memory node ranges");
  for (const { startPfn, endPfn, node } of firmware.ranges) {
    log.print(`  node ${String(node).padStart(3)}: ${pfnRange(startPfn, endPfn)}`);
  }
  for (const node of zones.nodes) {
    if (node.present === 0) log.print(`Initializing node ${node.id} as memoryless`);
    else log.print(`Initmem setup node ${node.id} ${pfnRange(node.startPfn, node.endPfn)}`);
  }
}

/** Whether the machine's kernel is built with a zone of this index at all. */
function hasZone({ zones }: Topology, index: number): boolean {
  if (index === ZoneIndex.DMA) return zones.dmaBytes > 0;
  if (index === ZoneIndex.DMA32) return zones.dma32Bytes > zones.dmaBytes;
  if (index === ZoneIndex.HIGHMEM) return zones.lowmemBytes !== Number.POSITIVE_INFINITY;
  return index <= ZoneIndex.NORMAL;
}

export interface MemoryUse {
  readonly availablePages: number;
  readonly physicalPages: number;
  readonly imageBytes: number;
  readonly perCpuBytes: number;
  readonly memMapBytes: number;
}

/** Linux: mem_init_print_info.  Differs: the parts named are ours; a simulated kernel has no code in RAM. */
export function memoryLine(use: MemoryUse): string {
  return (
    `Memory: ${pages(use.availablePages)}/${pages(use.physicalPages)} available (${kib(use.imageBytes)} kernel data, ` +
    `${kib(use.perCpuBytes)} percpu, ${kib(use.memMapBytes)} mem_map, ` +
    `${pages(use.physicalPages - use.availablePages)} reserved, 0K cma-reserved)`
  );
}

function shortRange(start: number, end: number): string {
  return `[mem ${hex32(start)}-${hex32(end - 1)}]`;
}

const hex32 = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`;
const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)}K`;
const pages = (count: number): string => `${(count * PAGE_BYTES) / 1024}K`;
