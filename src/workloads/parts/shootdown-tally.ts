/**
 * How many TLB shootdowns a workload has caused, to how many CPUs, and how long the calls took that cause them.
 *
 * Each CPU notes its own operations and times in RAM; when all are through, one adds them up.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { LINE_WORDS, type Pointer } from "../../memory/units.ts";
import { VmEvent } from "../../mm/pages/counters.ts";
import type { Metric, MetricsValue } from "../description.ts";
import { nameWords } from "./named.ts";
import { freeScratch, takeScratch } from "./scratch.ts";

/** The same on every CPU: plain data. */
export interface TallyRoom {
  readonly start: Pointer;
  /** Counters before the run. */
  readonly sent: number;
  readonly received: number;
}

/** A CPU's line: two float64s. */
const OPERATIONS = 0;
const CALL_NS = 2;

const sentTotal = ({ pages }: Kernel): number => pages.vmstat.eventTotal(VmEvent.nr_tlb_remote_flush);
const receivedTotal = ({ pages }: Kernel): number =>
  pages.vmstat.eventTotal(VmEvent.nr_tlb_remote_flush_received);

export const takeTally = (kernel: Kernel): TallyRoom => ({
  start: takeScratch(kernel, kernel.cpus * LINE_WORDS),
  sent: sentTotal(kernel),
  received: receivedTotal(kernel),
});

export const freeTally = (kernel: Kernel, { start }: TallyRoom): void =>
  freeScratch(kernel, start, kernel.cpus * LINE_WORDS);

export const nameTally = (kernel: Kernel, { start }: TallyRoom): void =>
  nameWords(kernel, "shootdown_tally", start, kernel.cpus * LINE_WORDS);

/** One CPU's part. */
export class ShootdownTally {
  private readonly kernel: Kernel;
  private readonly room: TallyRoom;
  private callNs = 0;

  constructor(kernel: Kernel, room: TallyRoom) {
    this.kernel = kernel;
    this.room = room;
  }

  /** Runs a call that may shoot entries down. */
  timed(call: () => void): void {
    const { cpu } = this.kernel;
    const start = cpu.nowNs();
    call();
    this.callNs += cpu.nowNs() - start;
  }

  /** On every CPU after its phase, with its operations: all meet here.  CPU 0 gets the figures of all, others null. */
  finish(operations: number): MetricsValue | null {
    const { kernel, room } = this;
    const { memory, cpu, cpus } = kernel;
    const own = room.start + cpu.id * LINE_WORDS;
    memory.writeFloat64(own + OPERATIONS, operations);
    memory.writeFloat64(own + CALL_NS, this.callNs);
    kernel.gate();
    if (cpu.id !== 0) return null;
    const sum = (field: number): number => {
      let total = 0;
      for (let id = 0; id < cpus; id++) total += memory.readFloat64(room.start + id * LINE_WORDS + field);
      return total;
    };
    const sent = sentTotal(kernel) - room.sent;
    const received = receivedTotal(kernel) - room.received;
    const each = (total: number, of: number): number => (of === 0 ? 0 : total / of);
    const callNs = each(sum(CALL_NS), sent);
    const { cyclesPerNs } = cpu.turn;
    const cycles: Readonly<Record<string, Metric>> =
      cyclesPerNs === undefined
        ? {}
        : { "cycles of its call a shootdown": { value: callNs * cyclesPerNs, unit: "cycles" } };
    return {
      metrics: {
        shootdowns: { value: sent, unit: "" },
        "shootdowns an operation": { value: each(sent, sum(OPERATIONS)), unit: "" },
        "targets a shootdown": { value: each(received, sent), unit: "CPUs" },
        "time of its call a shootdown": { value: callNs, unit: "ns" },
        ...cycles,
      },
    };
  }
}
