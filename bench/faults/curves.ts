/** Page faults and mappings on a simulated machine under each locking, as points of curves. */

import type { StructShare } from "../../src/machine/line-report.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { RunResult } from "../../src/machine/program.ts";
import type { VmaLockKind } from "../../src/memory/shape.ts";

export interface Variant {
  readonly name: string;
  readonly vmaLock: VmaLockKind;
  readonly mode: "thread" | "process";
  readonly colour: string;
}

export const VARIANTS: readonly Variant[] = [
  { name: "threads, mmap_lock only", vmaLock: "off", mode: "thread", colour: "#be123c" },
  { name: "threads, VMA locks", vmaLock: "6.12", mode: "thread", colour: "#2563eb" },
  { name: "threads, counted VMAs", vmaLock: "6.18", mode: "thread", colour: "#7c3aed" },
  { name: "processes", vmaLock: "6.12", mode: "process", colour: "#15803d" },
];

interface Workload {
  readonly name: string;
  readonly title: string;
  readonly options: Readonly<Record<string, string | number>>;
  /** Of a CPU. */
  readonly operations: number;
  /** It can run as several processes. */
  readonly hasMode: boolean;
}

/** Of a region: half of a page table's. */
export const REGION_PAGES = 256;
/** A loaded host may let a simulated machine wait. */
const HANG_S = 300;

export const WORKLOADS: readonly Workload[] = [
  {
    name: "page_fault1",
    title: "page_fault1: million pages a simulated second",
    options: { pages: REGION_PAGES },
    operations: REGION_PAGES,
    hasMode: true,
  },
  {
    name: "mapbench",
    title: "mapbench local: million pages a simulated second",
    options: { pages: REGION_PAGES, pattern: "local" },
    operations: REGION_PAGES,
    hasMode: false,
  },
  {
    name: "mmap1",
    title: "mmap1: million mmap+munmap a simulated second",
    options: { pages: REGION_PAGES },
    operations: 10,
    hasMode: true,
  },
];

export interface Point {
  readonly workload: string;
  readonly variant: string;
  readonly cpus: number;
  /** Of all CPUs, per simulated second. */
  readonly perSecond: number;
  /** The lock that was waited for longest, and its part of all CPUs' time; "" none. */
  readonly lock: string;
  readonly lockShare: number;
  /** The structure whose cache lines cost most on their way between CPUs, and the part of all CPUs' time; "" none. */
  readonly line: string;
  readonly lineShare: number;
}

/** All workloads that the variant allows, each on a machine of its own. */
export async function measure(
  { name: variant, vmaLock, mode }: Variant,
  cpus: number,
  machineOf: { readonly profile: string; readonly memory: string },
): Promise<Point[]> {
  const points: Point[] = [];
  for (const { name, options, operations, hasMode } of WORKLOADS) {
    if (mode === "process" && !hasMode) continue;
    const machine = await Machine.boot({
      cpus,
      mode: "virtual",
      vmaLock,
      cacheLines: true,
      hangSeconds: HANG_S,
      ...machineOf,
    });
    const result = await machine.run(name, {
      operations,
      options: hasMode ? { ...options, mode } : options,
    });
    if (result.fault !== null) throw new Error(`${name}, ${variant}, ${cpus} CPUs: ${result.fault.message}`);
    await machine.halt();
    points.push({ workload: name, variant, cpus, ...rateOf(result) });
  }
  return points;
}

function rateOf({ cpuResults, locks, cacheLines }: RunResult): Omit<Point, "workload" | "variant" | "cpus"> {
  const phases = cpuResults.flatMap((cpu) => cpu.phases);
  const operations = phases.reduce((sum, phase) => sum + phase.operations, 0);
  const longestNs = Math.max(...phases.map((phase) => phase.elapsedNs));
  const allNs = cpuResults.reduce((sum, cpu) => sum + cpu.elapsedNs, 0);
  const [worst] = locks.toSorted((a, b) => b.waitNs - a.waitNs);
  const dearest = cacheLines?.structs[0];
  return {
    perSecond: (operations / longestNs) * 1e9,
    lock: worst === undefined || worst.waitNs === 0 ? "" : worst.name,
    lockShare: (worst?.waitNs ?? 0) / allNs,
    line: dearest === undefined ? "" : nameOf(dearest),
    lineShare: (dearest?.share ?? 0) * (cacheLines?.shareOfTime ?? 0),
  };
}

/** With the field that costs most, where that is most of it. */
function nameOf({ name, share, fields }: StructShare): string {
  const [field] = fields;
  return field !== undefined && field.share > share / 2 ? `${name}.${field.name}` : name;
}
