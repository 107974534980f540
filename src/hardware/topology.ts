/**
 * What the machine is made of: sockets, nodes, clusters, CPUs, physical memory with its holes, distances, zone limits.
 *
 * `topologyOf(config)` checks the configuration once, fills in what it leaves out and returns plain data that every
 * worker builds alike; nothing of it lives in RAM.  CPUs beyond `cpus` are housekeeping CPUs, which run kernel daemons:
 * they belong to nodes, but no formula counts them.
 *
 * Linux: drivers/base/arch_numa.c, arch/x86/mm/numa.c, drivers/acpi/numa/srat.c.
 */

import { UsageError } from "../memory/bug.ts";
import { MAX_RAM_BYTES, PAGE_BYTES, PAGE_SHIFT } from "../memory/units.ts";

export const LOCAL_DISTANCE = 10;
const REMOTE_DISTANCE = 20;
const MAX_DISTANCE = 255;
/** A frame's node is three bits of its page flags. */
export const MAX_NODES = 8;
const MAX_CPUS = 256;
/** Below this a kernel image, per-CPU areas and mem_map leave nothing to allocate. */
const MIN_MEMORY_BYTES = 2 ** 19;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Nodes of an even split start where a block of the largest order may start, so that no block spans two nodes. */
const NODE_ALIGN_BYTES = 4 * MIB;

/** Where zones end, in bytes.  A zone whose end is not above the one before it does not exist. */
export interface ZoneLimits {
  readonly dmaBytes: number;
  readonly dma32Bytes: number;
  /** End of directly mapped memory; what lies above is HIGHMEM.  Infinity: no HIGHMEM. */
  readonly lowmemBytes: number;
}

export const ZONE_PRESETS = {
  "x86-64": { dmaBytes: 16 * MIB, dma32Bytes: 4 * GIB, lowmemBytes: Number.POSITIVE_INFINITY },
  "x86-32": { dmaBytes: 16 * MIB, dma32Bytes: 16 * MIB, lowmemBytes: 896 * MIB },
} as const satisfies Record<string, ZoneLimits>;

/** Present memory of one node; holes are what no range covers. */
export interface MemoryRange {
  readonly startPfn: number;
  readonly endPfn: number;
  readonly node: number;
}

/** `pc`: the first MiB as on a PC, and no memory from 3 to 4 GiB.  `flat`: memory from 0 on without a hole. */
export type Firmware = "pc" | "flat";

export interface TopologyConfig {
  readonly cpus: number;
  /** CPUs beyond `cpus` for kernel daemons; 0 by default. */
  readonly housekeepingCpus?: number;
  readonly sockets?: number;
  /** Default: one a socket. */
  readonly nodes?: number;
  /** CPUs that share a last-level cache; default: all of a node. */
  readonly clusterCpus?: number;
  /** Size of each last-level cache; default 32 MiB. */
  readonly cacheBytes?: number;
  /** Node of each CPU, housekeeping ones included; default: equal blocks, housekeeping ones in turn. */
  readonly cpuNodes?: readonly number[];
  /** Split evenly over the nodes; ignored when `memoryMap` is given. */
  readonly memoryBytes?: number;
  readonly memoryMap?: readonly {
    readonly startBytes: number;
    readonly sizeBytes: number;
    readonly node: number;
  }[];
  readonly firmware?: Firmware;
  /** `distances[from][to]`; default 10 on the diagonal, 20 elsewhere. */
  readonly distances?: readonly (readonly number[])[];
  readonly zones?: keyof typeof ZONE_PRESETS | ZoneLimits;
  /** Memory that stays outside ZONE_MOVABLE, or that goes into it.  Linux: the boot parameters kernelcore= and movablecore=. */
  readonly kernelcoreBytes?: number;
  readonly movablecoreBytes?: number;
}

export interface Topology {
  readonly cpus: number;
  readonly housekeepingCpus: number;
  /** CPUs and housekeeping CPUs: the units of the per-CPU area. */
  readonly possibleCpus: number;
  readonly sockets: number;
  readonly nodes: number;
  readonly cpuNode: readonly number[];
  readonly cpuCluster: readonly number[];
  /** Each CPU's share of its last-level cache. */
  readonly cacheSliceBytes: number;
  readonly nodeSocket: readonly number[];
  /** CPUs of each node, housekeeping ones excluded: what the formulas count. */
  readonly nodeCpus: readonly (readonly number[])[];
  /** Ascending, disjoint, page aligned. */
  readonly memory: readonly MemoryRange[];
  readonly presentPages: number;
  /** One past the last present frame. */
  readonly maxPfn: number;
  readonly firmware: Firmware;
  readonly distances: readonly (readonly number[])[];
  readonly zones: ZoneLimits;
  readonly kernelcorePages: number;
  readonly movablecorePages: number;
}

/** Checks `config` and completes it.  A wrong value is a UsageError that says what is valid. */
export function topologyOf(config: TopologyConfig): Topology {
  const cpus = integer("cpus", config.cpus, 1, MAX_CPUS);
  const housekeepingCpus = integer("housekeepingCpus", config.housekeepingCpus ?? 0, 0, MAX_CPUS - cpus);
  const sockets = integer("sockets", config.sockets ?? 1, 1, MAX_NODES);
  const nodes = integer("nodes", config.nodes ?? sockets, 1, MAX_NODES);
  if (nodes % sockets !== 0)
    throw new UsageError(
      `nodes: ${nodes} cannot be split over ${sockets} sockets; valid are multiples of ${sockets}`,
    );
  const possibleCpus = cpus + housekeepingCpus;
  const cpuNode = cpuNodes(config, cpus, possibleCpus, nodes);
  const nodeCpus = Array.from({ length: nodes }, (_, node) =>
    cpuNode.flatMap((n, cpu) => (n === node && cpu < cpus ? [cpu] : [])),
  );
  const memory = memoryRanges(config, nodes);
  const cpuCluster = clusters(config, cpuNode, cpus, nodeCpus);
  const cacheBytes = integer("cacheBytes", config.cacheBytes ?? 32 * MIB, 0, GIB);
  const presentPages = memory.reduce((sum, r) => sum + r.endPfn - r.startPfn, 0);
  return {
    cpus,
    housekeepingCpus,
    possibleCpus,
    sockets,
    nodes,
    cpuNode,
    cpuCluster,
    cacheSliceBytes: Math.floor(
      cacheBytes / cpuCluster.slice(0, cpus).filter((c) => c === cpuCluster[0]).length,
    ),
    nodeSocket: Array.from({ length: nodes }, (_, node) => Math.floor((node * sockets) / nodes)),
    nodeCpus,
    memory,
    presentPages,
    maxPfn: memory[memory.length - 1].endPfn,
    firmware: config.firmware ?? defaultFirmware(config),
    distances: distanceTable(config.distances, nodes),
    zones: zoneLimits(config.zones ?? "x86-64"),
    kernelcorePages: corePages("kernelcoreBytes", config.kernelcoreBytes),
    movablecorePages: corePages("movablecoreBytes", config.movablecoreBytes),
  };
}

function cpuNodes(config: TopologyConfig, cpus: number, possible: number, nodes: number): number[] {
  const given = config.cpuNodes;
  if (given === undefined) {
    return Array.from({ length: possible }, (_, cpu) =>
      cpu < cpus ? Math.floor((cpu * nodes) / cpus) : (cpu - cpus) % nodes,
    );
  }
  if (given.length !== possible)
    throw new UsageError(`cpuNodes: ${given.length} entries; valid is one for each of the ${possible} CPUs`);
  return given.map((node, cpu) => integer(`cpuNodes[${cpu}]`, node, 0, nodes - 1));
}

/** Consecutive CPUs of one node share a cache; clusters are numbered over the machine. */
function clusters(
  config: TopologyConfig,
  cpuNode: readonly number[],
  cpus: number,
  nodeCpus: readonly (readonly number[])[],
): number[] {
  const size = config.clusterCpus;
  if (size !== undefined) integer("clusterCpus", size, 1, cpus);
  const result: number[] = new Array(cpuNode.length).fill(0);
  const firstOfNode: number[] = [];
  let next = 0;
  for (const members of nodeCpus) {
    firstOfNode.push(next);
    const width = size ?? Math.max(members.length, 1);
    for (const [position, cpu] of members.entries()) result[cpu] = next + Math.floor(position / width);
    next += Math.max(1, Math.ceil(members.length / width));
  }
  for (let cpu = cpus; cpu < cpuNode.length; cpu++) result[cpu] = firstOfNode[cpuNode[cpu]];
  return result;
}

/** A PC's first MiB costs a quarter of a 4 MiB machine: small machines have a flat map. */
function defaultFirmware(config: TopologyConfig): Firmware {
  return config.memoryMap === undefined && (config.memoryBytes ?? 0) >= 64 * MIB ? "pc" : "flat";
}

function memoryRanges(config: TopologyConfig, nodes: number): MemoryRange[] {
  if (config.memoryMap !== undefined) return givenRanges(config.memoryMap, nodes);
  const total = config.memoryBytes;
  if (total === undefined) throw new UsageError("memoryBytes or memoryMap must be given");
  pageAligned("memoryBytes", integer("memoryBytes", total, MIN_MEMORY_BYTES, MAX_RAM_BYTES));
  const share = total / nodes;
  const step = share >= NODE_ALIGN_BYTES ? NODE_ALIGN_BYTES : PAGE_BYTES;
  const ranges: MemoryRange[] = [];
  const hole = hasPciHole(config, total);
  for (let node = 0; node < nodes; node++) {
    const start = Math.floor((share * node) / step) * step;
    const end = node === nodes - 1 ? total : Math.floor((share * (node + 1)) / step) * step;
    if (!hole || end <= PCI_HOLE_START) pushRange(ranges, start, end, node);
    else {
      if (start < PCI_HOLE_START) pushRange(ranges, start, PCI_HOLE_START, node);
      pushRange(ranges, Math.max(start, PCI_HOLE_START) + PCI_HOLE_BYTES, end + PCI_HOLE_BYTES, node);
    }
  }
  return ranges;
}

const PCI_HOLE_START = 3 * GIB;
const PCI_HOLE_BYTES = GIB;

/** A PC has its devices from 3 to 4 GiB and the rest of memory above; no pointer could reach above 8 GiB. */
function hasPciHole(config: TopologyConfig, total: number): boolean {
  const firmware = config.firmware ?? defaultFirmware(config);
  return firmware === "pc" && total > PCI_HOLE_START && total + PCI_HOLE_BYTES <= MAX_RAM_BYTES;
}

function pushRange(ranges: MemoryRange[], start: number, end: number, node: number): void {
  if (start < end) ranges.push({ startPfn: start / PAGE_BYTES, endPfn: end / PAGE_BYTES, node });
}

function givenRanges(map: NonNullable<TopologyConfig["memoryMap"]>, nodes: number): MemoryRange[] {
  if (map.length === 0) throw new UsageError("memoryMap: empty; valid is one range or more");
  const ranges: MemoryRange[] = [];
  for (const [i, { startBytes, sizeBytes, node }] of map.entries()) {
    const name = `memoryMap[${i}]`;
    pageAligned(
      `${name}.startBytes`,
      integer(`${name}.startBytes`, startBytes, 0, MAX_RAM_BYTES - PAGE_BYTES),
    );
    const room = MAX_RAM_BYTES - startBytes;
    pageAligned(`${name}.sizeBytes`, integer(`${name}.sizeBytes`, sizeBytes, PAGE_BYTES, room));
    integer(`${name}.node`, node, 0, nodes - 1);
    pushRange(ranges, startBytes, startBytes + sizeBytes, node);
  }
  ranges.sort((a, b) => a.startPfn - b.startPfn);
  for (let i = 1; i < ranges.length; i++) {
    if (ranges[i].startPfn < ranges[i - 1].endPfn)
      throw new UsageError(
        `memoryMap: ranges overlap at pfn ${ranges[i].startPfn}; valid are disjoint ranges of up to 8 GiB`,
      );
  }
  const pages = ranges.reduce((sum, r) => sum + r.endPfn - r.startPfn, 0);
  integer("memoryMap: bytes in all", pages * PAGE_BYTES, MIN_MEMORY_BYTES, MAX_RAM_BYTES);
  return ranges;
}

/**
 * Local distance is 10 and every other one is more.  Linux: drivers/acpi/numa/srat.c slit_valid.  Both directions must
 * agree, as a device tree says by construction (drivers/of/of_numa.c).
 */
function distanceTable(given: TopologyConfig["distances"], nodes: number): readonly (readonly number[])[] {
  if (given === undefined) {
    return Array.from({ length: nodes }, (_, i) =>
      Array.from({ length: nodes }, (_, j) => (i === j ? LOCAL_DISTANCE : REMOTE_DISTANCE)),
    );
  }
  if (given.length !== nodes || given.some((row) => row.length !== nodes))
    throw new UsageError(`distances: valid is a table of ${nodes} rows of ${nodes} numbers`);
  for (let i = 0; i < nodes; i++) {
    for (let j = 0; j < nodes; j++) {
      const name = `distances[${i}][${j}]`;
      if (i === j) integer(name, given[i][j], LOCAL_DISTANCE, LOCAL_DISTANCE);
      else integer(name, given[i][j], LOCAL_DISTANCE + 1, MAX_DISTANCE);
      if (given[i][j] !== given[j][i])
        throw new UsageError(`${name} is ${given[i][j]}; valid is ${given[j][i]}, as in the other direction`);
    }
  }
  return given.map((row) => [...row]);
}

function zoneLimits(given: NonNullable<TopologyConfig["zones"]>): ZoneLimits {
  if (typeof given === "string") {
    const preset = ZONE_PRESETS[given];
    if (preset === undefined)
      throw new UsageError(
        `zones: ${given}; valid are ${Object.keys(ZONE_PRESETS).join(", ")} or limits in bytes`,
      );
    return preset;
  }
  let below = 0;
  for (const key of ["dmaBytes", "dma32Bytes", "lowmemBytes"] as const) {
    const value = given[key];
    if (!(value >= below))
      throw new UsageError(`zones.${key}: ${value}; valid is ${below} or more, zones ascend`);
    if (value !== Number.POSITIVE_INFINITY) pageAligned(`zones.${key}`, value);
    below = value;
  }
  return given;
}

function corePages(name: string, bytes: number | undefined): number {
  if (bytes === undefined) return 0;
  return pageAligned(name, integer(name, bytes, 0, MAX_RAM_BYTES)) / PAGE_BYTES;
}

function integer(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new UsageError(
      `${name}: ${value}; ${min === max ? `valid is ${min}` : `valid are ${min} to ${max}`}`,
    );
  return value;
}

function pageAligned(name: string, bytes: number): number {
  if (bytes % PAGE_BYTES !== 0)
    throw new UsageError(`${name}: ${bytes}; valid are multiples of ${2 ** PAGE_SHIFT}`);
  return bytes;
}
