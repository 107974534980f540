/**
 * One run of a program: setup alone, run on all CPUs, check alone.
 *
 * The first fault wins; after it nobody is waited for longer than the grace time.
 */

import { Control, PANIC_MAIN } from "../memory/control.ts";
import { raisePanic } from "../schedule/panic.ts";
import { interruptCounts } from "./interrupts.ts";
import { costOf, type LineReport } from "./line-report.ts";
import type { CpuPool } from "./pool.ts";
import type { CpuResult, Fault, LockResult, ProgramOptions } from "./program.ts";
import type { CpuTask, MachineParts, RunValue } from "./task.ts";
import { Watchdog } from "./watchdog.ts";

/** How long CPUs may take to unwind after a failure before their threads are ended, ms. */
const GRACE_MS = 1000;

export interface RunOptions {
  /** The program's own options (`--set key=value`). */
  readonly options?: ProgramOptions;
  /** Length of the run; programs stop at their next look. */
  readonly seconds?: number;
  /** Operations a CPU instead of a time. */
  readonly operations?: number;
  readonly signal?: AbortSignal;
  /** Simulated time: run the CPUs' threads on one host core, where hand-overs are cheapest.  Default true. */
  readonly pin?: boolean;
}

export interface Outcome {
  readonly cpuResults: readonly CpuResult[];
  readonly interrupts: Readonly<Record<string, number>>;
  readonly locks: readonly LockResult[];
  readonly cacheLines: LineReport | null;
  readonly fault: Fault | null;
}

interface Merged {
  readonly report: Omit<LineReport, "shareOfTime"> | null;
  readonly fault: Fault | null;
}

export class Run {
  private readonly parts: MachineParts;
  private readonly pool: CpuPool;
  private readonly control: Int32Array;
  private readonly options: RunOptions;

  constructor(parts: MachineParts, pool: CpuPool, control: Int32Array, options: RunOptions) {
    this.parts = parts;
    this.pool = pool;
    this.control = control;
    this.options = options;
  }

  async execute(moduleUrl: string): Promise<Outcome> {
    const { cpus } = this.parts.config;
    const options = this.options.options ?? {};
    const common = { id: this.parts.id, moduleUrl, options };
    const setup = await this.sendAll([{ ...common, kind: "setup", cpu: 0, shared: null, values: [] }]);
    const nothing = { cpuResults: [], interrupts: {}, locks: [], cacheLines: null };
    if (setup.fault !== null) return { ...nothing, fault: setup.fault };
    const before = interruptCounts(this.parts.buffers.states, cpus);
    this.armControl();
    const shared = setup.values[0];
    const operations = this.options.operations ?? Infinity;
    const seconds = (this.parts.virtual === null ? undefined : this.options.seconds) ?? Infinity;
    const tasks: CpuTask[] = [];
    for (let cpu = 0; cpu < cpus; cpu++)
      tasks.push({ ...common, kind: "run", cpu, shared, operations, seconds });
    const stopTimer = this.stopWhenDue();
    const ran = await this.sendAll(tasks);
    stopTimer();
    if (ran.fault !== null) return { ...nothing, fault: ran.fault };
    const ended = ran.values as RunValue[];
    const locks = ended.find((value) => value.locks !== null)?.locks ?? [];
    const cpuResults: CpuResult[] = ended.map(({ result }) => result);
    const { cacheLines, fault } = await this.collectLines(ended);
    if (fault !== null) return { ...nothing, fault };
    const interrupts = interruptCounts(this.parts.buffers.states, cpus);
    for (const label of Object.keys(interrupts)) interrupts[label] -= before[label];
    const values = cpuResults.map((r) => r.value);
    const checked = await this.sendAll([{ ...common, kind: "check", cpu: 0, shared, values }]);
    return { cpuResults, interrupts, locks, cacheLines, fault: checked.fault };
  }

  /** The cache-line report, named by the boot CPU's thread before anything else changes what it names. */
  private async collectLines(results: readonly RunValue[]): Promise<Pick<Outcome, "cacheLines" | "fault">> {
    const counts = results.map(({ lines }) => lines).filter((lines) => lines !== null);
    if (counts.length < results.length) return { cacheLines: null, fault: null };
    const { report, fault } = await this.mergeLines(counts);
    if (report === null) return { cacheLines: null, fault };
    const elapsedNs = results.reduce((sum, { result }) => sum + result.elapsedNs, 0);
    const cyclesPerNs = this.parts.virtual?.costs.cyclesPerNs ?? 1;
    const shareOfTime = elapsedNs > 0 ? costOf(report.total) / (elapsedNs * cyclesPerNs) : 0;
    return { cacheLines: { ...report, shareOfTime }, fault: null };
  }

  /** Nobody else runs, and merging millions of counts takes seconds: no watchdog. */
  private async mergeLines(counts: readonly Float64Array[]): Promise<Merged> {
    try {
      const answer = await this.pool.send({ kind: "lines", cpu: 0, id: this.parts.id, counts });
      if (answer.ok) return { report: answer.value as Merged["report"], fault: null };
      return { report: null, fault: answer.stopped ? null : answer.fault };
    } catch (error) {
      return { report: null, fault: lostThread(0, error) };
    }
  }

  private armControl(): void {
    const { control } = this;
    control[Control.stop] = 0;
    control[Control.running] = 0;
    control[Control.gateCount] = 0;
    Atomics.store(control, Control.unfinished, this.parts.config.cpus);
  }

  /** Sets the stop word when the time is up (counted from the CPUs' common start) or the signal fires. */
  private stopWhenDue(): () => void {
    const { seconds, signal } = this.options;
    const stop = (): void => void Atomics.store(this.control, Control.stop, 1);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    if (seconds !== undefined && this.parts.virtual === null) {
      const begun = Atomics.waitAsync(this.control, Control.running, 0);
      void Promise.resolve(begun.value).then(() => {
        if (!over) timer = setTimeout(stop, seconds * 1000);
      });
    }
    return () => {
      over = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    };
  }

  /** Sends tasks to their CPUs; the first fault wins, and after it nobody is waited for longer than the grace time. */
  async sendAll(tasks: readonly CpuTask[]): Promise<{ values: unknown[]; fault: Fault | null }> {
    const { cpus } = this.parts.config;
    let fault: Fault | null = null;
    let giveUp: (() => void) | undefined;
    const givenUp = new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    const fail = (found: Fault): void => {
      if (fault !== null) return;
      fault = found;
      raisePanic(this.control, PANIC_MAIN, cpus);
      setTimeout(() => giveUp?.(), GRACE_MS).unref();
    };
    const watchdog = new Watchdog(this.parts, this.control, fail);
    const values: unknown[] = new Array(tasks.length).fill(null);
    const all = tasks.map(async (task, i) => {
      try {
        const answer = await this.pool.send(task);
        if (answer.ok) values[i] = answer.value;
        else if (!answer.stopped) fail(answer.fault);
      } catch (error) {
        fail(lostThread(task.cpu, error));
      }
    });
    await Promise.race([Promise.all(all), givenUp]);
    watchdog.stop();
    if (fault !== null) this.pool.poison();
    return { values, fault };
  }
}

function lostThread(cpu: number, error: unknown): Fault {
  const e = error as Error & { code?: string };
  const memory = e.code === "ERR_WORKER_OUT_OF_MEMORY";
  return {
    kind: memory ? "memory" : "worker",
    cpu,
    message: memory
      ? `cpu ${cpu}: its thread ran out of heap (raise heapMiB)`
      : `cpu ${cpu}: its thread ended: ${e.message}`,
    stack: e.stack ?? "",
    report: "",
  };
}
