/** The reports by name. */

import { UsageError } from "../memory/bug.ts";
import { buddyinfo } from "./buddyinfo.ts";
import { coreLatency } from "./core-latency.ts";
import { interrupts } from "./interrupts.ts";
import { kernelStack } from "./kernel-stack.ts";
import { kmemleak } from "./kmemleak.ts";
import { lockStat } from "./lock-stat.ts";
import { meminfo } from "./meminfo.ts";
import { numactl } from "./numactl.ts";
import { pagetypeinfo } from "./pagetypeinfo.ts";
import { percpuStats } from "./percpu-stats.ts";
import { PID_REPORTS, pidName, pidReportNamed } from "./pid/pid-reports.ts";
import { ps } from "./pid/ps.ts";
import type { ProcessSource } from "./pid/source.ts";
import { slabinfo } from "./slabinfo.ts";
import type { ProcSource, SlabSource } from "./source.ts";
import { stat } from "./stat.ts";
import { SYS_SLAB, sysSlab } from "./sys-slab.ts";
import { tlb } from "./tlb.ts";
import { vmallocinfo } from "./vmallocinfo.ts";
import { vmstat } from "./vmstat.ts";
import { zoneinfo } from "./zoneinfo.ts";

/** A report on a kernel at rest. */
export interface KernelReport {
  readonly summary: string;
  render(source: ProcSource & SlabSource & ProcessSource): string;
}

/** A report on what a workload has measured: from the values that its CPUs returned. */
export interface MeasuredReport {
  readonly summary: string;
  readonly workload: string;
  renderValues(values: readonly unknown[]): string;
}

export const REPORTS: Readonly<Record<string, KernelReport | MeasuredReport>> = {
  buddyinfo: { summary: "free blocks of each order in each zone", render: buddyinfo },
  pagetypeinfo: { summary: "free blocks and pageblocks by migrate type", render: pagetypeinfo },
  zoneinfo: { summary: "marks, counters and page lists of each zone", render: zoneinfo },
  meminfo: { summary: "memory in kilobytes", render: meminfo },
  vmstat: { summary: "the machine's counters and events", render: vmstat },
  interrupts: { summary: "interrupts taken by each CPU since boot", render: interrupts },
  tlb: { summary: "hits, misses, walks and flushes of each CPU's TLB, and its reach", render: tlb },
  stat: { summary: "interrupts, context switches and processes since boot", render: stat },
  slabinfo: { summary: "objects and slabs of each cache", render: slabinfo },
  [SYS_SLAB]: {
    summary: "caches of SLUB; with /NAME what a cache is and has, with /NAME/FILE one value",
    render: (source) => sysSlab(source, SYS_SLAB),
  },
  vmallocinfo: { summary: "areas of kernel virtual memory", render: vmallocinfo },
  lock_stat: { summary: "how often locks were taken and waited for in the last run", render: lockStat },
  percpu_stats: { summary: "per-CPU memory: its parts, its chunks and their pieces", render: percpuStats },
  kernel_stack: {
    summary: "how much of each kernel stack has been in use, with the setting checks",
    render: kernelStack,
  },
  kmemleak: { summary: "objects that are given out and that nothing refers to", render: kmemleak },
  ps: { summary: "processes: their memory and faults", render: ps },
  ...pidReports(),
  numactl: { summary: "nodes, their CPUs and memory, distances", render: numactl },
  "core-latency": {
    summary: "time of a cache line between each pair of CPUs, measured now",
    workload: "core-latency",
    renderValues: coreLatency,
  },
};

/** Under names that stand for all processes. */
function pidReports(): Record<string, KernelReport> {
  const named = Object.entries(PID_REPORTS).map(([file, { summary }]) => {
    const name = pidName(file);
    const render = (source: ProcessSource): string => pidReportNamed(name)!.render(source);
    return [name, { summary, render }] as const;
  });
  return Object.fromEntries(named);
}

/** Names of all reports; "PID" in one stands for a process's number, or "self". */
export function procNames(): string[] {
  return Object.keys(REPORTS);
}

/** Whether a report is on processes: without any it shows nothing. */
export const isOfProcesses = (name: string): boolean => /^(\/proc\/)?(ps$|(\d+|self|PID)\/)/.test(name);

/** The report `name`; "/proc/" before it is allowed.  Throws UsageError if there is none. */
export function reportNamed(name: string): KernelReport | MeasuredReport {
  const key = name.replace(/^\/(proc\/|(?=sys\/))/, "").replace(/\/+$/, "");
  if (Object.hasOwn(REPORTS, key)) return REPORTS[key];
  if (key.startsWith(`${SYS_SLAB}/`))
    return { summary: REPORTS[SYS_SLAB].summary, render: (source) => sysSlab(source, key) };
  const ofProcess = pidReportNamed(key);
  if (ofProcess !== null) return ofProcess;
  throw new UsageError(`proc: there is no report "${name}"; valid are ${procNames().join(", ")}`);
}
