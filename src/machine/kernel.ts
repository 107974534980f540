/**
 * The kernel as one CPU sees it: an explicit object per worker, given to every kernel module.
 *
 * Two machines may live in one worker; nothing here is global.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { Control } from "../memory/control.ts";
import type { Memory } from "../memory/memory.ts";
import { Regions } from "../memory/regions.ts";
import { TraceEvent } from "../memory/trace.ts";
import { passGate } from "../schedule/gate.ts";
import type { PhaseResult } from "./program.ts";

export interface KernelParts {
  readonly cpu: Cpu;
  readonly memory: Memory;
  readonly control: Int32Array;
  /** CPUs that run programs. */
  readonly cpus: number;
  readonly seed: number;
}

export class Kernel {
  readonly cpu: Cpu;
  readonly memory: Memory;
  /** Names addresses, for reports. */
  readonly regions = new Regions();
  readonly cpus: number;
  readonly seed: number;
  private readonly control: Int32Array;
  private limit = Infinity;
  private phases = new Map<string, { operations: number; elapsedNs: number }>();

  constructor(parts: KernelParts) {
    this.cpu = parts.cpu;
    this.memory = parts.memory;
    this.control = parts.control;
    this.cpus = parts.cpus;
    this.seed = parts.seed;
  }

  // ---- what a program times and how long it goes on ----

  /** Whether a loop that has done `operations` goes on: until the run's time is up or its operations are done. */
  more(operations: number): boolean {
    return operations < this.limit && this.control[Control.stop] === 0;
  }

  /** Operations of this run on each CPU; Infinity in timed runs. */
  get operationLimit(): number {
    return this.limit;
  }

  /** Waits until every CPU is here. */
  gate(): void {
    passGate(this.cpu, this.control, this.cpus);
  }

  /** Whether all CPUs go on with another round; all get the same answer, and all meet here. */
  anotherRound(operations: number): boolean {
    if (this.cpu.id === 0) this.control[Control.anotherRound] = this.more(operations) ? 1 : 0;
    this.gate();
    const goesOn = this.control[Control.anotherRound] !== 0;
    this.gate();
    return goesOn;
  }

  /**
   * Runs `body` from a common start; it returns how many operations it did.  Phases of one name add up.
   */
  phase(name: string, body: () => number): void {
    this.gate();
    const number = this.phases.size;
    this.cpu.trace.record(TraceEvent.PHASE_BEGIN, number, 0);
    const start = this.cpu.nowNs();
    const operations = body();
    const elapsedNs = this.cpu.nowNs() - start;
    this.cpu.trace.record(TraceEvent.PHASE_END, number, 0);
    const sum = this.phases.get(name) ?? { operations: 0, elapsedNs: 0 };
    this.phases.set(name, { operations: sum.operations + operations, elapsedNs: sum.elapsedNs + elapsedNs });
  }

  /** Forgets the phases of the run before; `limit` operations a CPU, Infinity for a timed run. */
  beginRun(limit: number): void {
    this.limit = limit;
    this.phases = new Map();
  }

  takePhases(): PhaseResult[] {
    return [...this.phases].map(([name, sum]) => ({ name, ...sum }));
  }
}
