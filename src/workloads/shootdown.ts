/**
 * How long a TLB shootdown takes: one page of an address space that all CPUs have loaded, from the change of the table to
 * the last acknowledgement.
 *
 * CPU 0 takes the right to write away and gives it back, with a flush after each; the others read the page again and again.
 * Afterwards the counters must say what was done: one flush sent each time, received by every other CPU.
 */

import { PteBit } from "../hardware/page-table-entry.ts";
import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Work } from "../memory/work.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import type { MmRef } from "../mm/pgtable/mm-context.ts";
import { endSpace, mapPage, newSpace } from "../mm/shootdown/bare-space.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { LatencyHistogram } from "./parts/latency-histogram.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "shootdown",
  summary: "CPU 0 flushes a page that all other CPUs read; gives the latency's percentiles.",
  phases: ["flush"],
  operation: "one flush_tlb_page, with one interrupt a CPU",
  options: {},
  minCpus: 2,
};

const ADDRESS = 0x40_0000;
const VALUE = 42;
/** What a reader computes between two reads, in simulated time. */
const READER_NS = 100;
const { RW } = PteBit;

interface Shared {
  readonly mm: MmRef;
  /** 1 once CPU 0 is through. */
  readonly over: Pointer;
  readonly sent: number;
  readonly received: number;
}

export function setup(kernel: Kernel): Shared {
  const { vmstat } = kernel.pages;
  const mm = newSpace(kernel);
  if (mm === 0 || mapPage(kernel, mm, ADDRESS, VALUE) === 0)
    bug("no memory for one page of an address space");
  const sent = vmstat.eventTotal(VmEvent.nr_tlb_remote_flush);
  const received = vmstat.eventTotal(VmEvent.nr_tlb_remote_flush_received);
  return { mm, over: takeScratch(kernel, 1), sent, received };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "over", (shared as Shared).over);
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { cpu, memory, paging } = kernel;
  const { mm, over } = shared as Shared;
  const { tlb, user } = paging;
  tlb.switchMm(mm);
  if (cpu.id === 0) {
    const metrics = flushAgain(kernel, mm);
    memory.store(over, 1);
    memory.wake(over);
    kernel.gate();
    tlb.switchMm(tlb.initMm);
    return metrics;
  }
  kernel.gate();
  while (memory.load(over) === 0) {
    if (user.read(ADDRESS) !== VALUE) bug(`cpu ${cpu.id} reads something else than ${VALUE}`);
    memory.work(Work.COMPUTE, READER_NS);
    cpu.endOperation();
  }
  kernel.gate();
  tlb.switchMm(tlb.initMm);
  return null;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { vmstat } = kernel.pages;
  const { mm, over, sent, received } = shared as Shared;
  const { metrics } = values[0] as MetricsValue;
  const done = metrics.flushes.value;
  const said = vmstat.eventTotal(VmEvent.nr_tlb_remote_flush) - sent;
  if (said !== done) bug(`nr_tlb_remote_flush grew by ${said} in ${done} flushes`);
  const arrived = vmstat.eventTotal(VmEvent.nr_tlb_remote_flush_received) - received;
  if (arrived !== done * (kernel.cpus - 1))
    bug(`${arrived} flushes were received, ${done} were sent to ${kernel.cpus - 1} CPUs`);
  endSpace(kernel, mm);
  freeScratch(kernel, over, 1);
}

function flushAgain(kernel: Kernel, mm: MmRef): MetricsValue {
  const { cpu, paging } = kernel;
  const { tables, shootdown } = paging;
  const latency = new LatencyHistogram();
  let flushes = 0;
  kernel.phase("flush", () => {
    let done = 0;
    while (kernel.more(done)) {
      const start = cpu.nowNs();
      const at = tables.pteOffsetMapLock(tables.pmdOffset(mm, ADDRESS), ADDRESS);
      if (done % 2 === 0) tables.pte.change(at, RW, 0);
      else tables.pte.change(at, 0, RW);
      tables.pteUnlock(at);
      shootdown.flushPage(mm, ADDRESS);
      latency.record(cpu.nowNs() - start);
      done++;
      cpu.endOperation();
    }
    flushes = done;
    return done;
  });
  return { metrics: { ...latency.metrics("round trip"), flushes: { value: flushes, unit: "" } } };
}
