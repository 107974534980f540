/**
 * The machine: boots it, runs programs on it, watches it, halts it.
 *
 * The main thread is no CPU and takes no kernel lock.  A run that fails discards the machine: after a kill the shared
 * memory is poisoned, so nothing of it is used again.
 */

import { availableParallelism } from "node:os";
import { CPU_STATE_WORDS } from "../hardware/cpu-state.ts";
import { UsageError } from "../memory/bug.ts";
import { Control, controlWords, PANIC_MAIN } from "../memory/control.ts";
import { traceWords } from "../memory/trace.ts";
import { createExploreBuffers } from "../schedule/explore/create.ts";
import { explore } from "../schedule/explore/state.ts";
import { hostMoment } from "../schedule/host-clock.ts";
import { raisePanic } from "../schedule/panic.ts";
import { ParallelTurn } from "../schedule/parallel.ts";
import { RING_EVENTS, TRACE_RING_EVENTS } from "./attach.ts";
import { type MachineConfig, type ResolvedConfig, resolveConfig } from "./config.ts";
import { CpuPool } from "./pool.ts";
import type { CpuResult, Fault, ProgramOptions, RunResult } from "./program.ts";
import { programOptions, resolveProgram } from "./resolve-program.ts";
import type { CampaignAnswer, CampaignTask, CpuAnswer, CpuTask, MachineParts } from "./task.ts";
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
}

let nextId = 1;

export class Machine {
  readonly config: ResolvedConfig;
  private readonly parts: MachineParts;
  private readonly pool: CpuPool;
  private readonly control: Int32Array;
  private state: "ready" | "running" | "dead" = "ready";

  private constructor(parts: MachineParts, pool: CpuPool) {
    this.config = parts.config;
    this.parts = parts;
    this.pool = pool;
    this.control = new Int32Array(parts.buffers.control);
  }

  /** Builds and boots a machine.  Throws UsageError for a bad configuration. */
  static async boot(config: MachineConfig = {}): Promise<Machine> {
    const resolved = resolveConfig(config);
    const { cpus, shape } = resolved;
    const events = shape.trace ? TRACE_RING_EVENTS : RING_EVENTS;
    const parts: MachineParts = {
      id: nextId++,
      config: resolved,
      origin: hostMoment(),
      buffers: {
        ram: new SharedArrayBuffer(resolved.memoryBytes),
        control: new SharedArrayBuffer(controlWords(cpus) * 4),
        states: new SharedArrayBuffer(cpus * CPU_STATE_WORDS * 4),
        trace: new SharedArrayBuffer(traceWords(cpus, events) * 4),
        explore:
          shape.mode === "explore"
            ? createExploreBuffers(resolved.memoryBytes, cpus * CPU_STATE_WORDS * 4)
            : null,
      },
    };
    ParallelTurn.format(new Int32Array(parts.buffers.control), cpus, resolved.tokens);
    const machine = new Machine(parts, CpuPool.acquire(shape, cpus, resolved.heapMiB));
    await machine.attachAll();
    return machine;
  }

  /** Runs a workload by name, or a kernel module by path, on every CPU. */
  async run(program: string, options: RunOptions = {}): Promise<RunResult> {
    const { moduleUrl, given } = await this.begin(program, options);
    const startedAt = performance.now();
    const run = new Run(this.parts, this.pool, this.control, { ...options, options: given });
    const outcome = await run.execute(moduleUrl);
    this.state = outcome.fault === null ? "ready" : "dead";
    if (outcome.fault !== null) await this.pool.destroy();
    return {
      mode: this.config.shape.mode,
      seed: this.config.seed,
      cpus: this.config.cpus,
      hostCores: availableParallelism(),
      tokens: this.config.tokens,
      pinned: false,
      program,
      options: given,
      wallMs: performance.now() - startedAt,
      cpuResults: outcome.cpuResults,
      locks: [],
      interrupts: {},
      interrupted: options.signal?.aborted ?? false,
      fault: outcome.fault,
    };
  }

  /**
   * Runs a program under many schedules; the machine must be of explore mode.  Ends at the first failure, when all
   * executions are done, or on the signal.
   */
  async explore(program: string, campaign: CampaignTask, options: RunOptions = {}): Promise<CampaignResult> {
    if (this.config.shape.mode !== "explore")
      throw new UsageError('explore needs a machine with mode "explore"');
    const { moduleUrl, given } = await this.begin(program, options);
    const run = new Run(this.parts, this.pool, this.control, { ...options, options: given });
    const result = await run.explore(moduleUrl, campaign);
    this.state = result.fault === null && result.failure === null ? "ready" : "dead";
    if (this.state === "dead") await this.pool.release();
    return result;
  }

  /** Gives the CPUs' threads back.  The machine cannot be used afterwards. */
  async halt(): Promise<void> {
    if (this.state === "running") throw new UsageError("the machine is running; stop its program first");
    if (this.state === "dead") return;
    this.state = "dead";
    await this.broadcast((cpu) => ({ kind: "release", cpu, id: this.parts.id }));
    await this.pool.release();
  }

  /** Claims the machine for `program`, whose options are checked first. */
  private async begin(
    program: string,
    options: RunOptions,
  ): Promise<{ moduleUrl: string; given: ProgramOptions }> {
    if (this.state !== "ready")
      throw new UsageError(`the machine is ${this.state}; it cannot start a program`);
    this.state = "running";
    try {
      const moduleUrl = resolveProgram(program);
      return { moduleUrl, given: await programOptions(moduleUrl, options.options ?? {}, this.config.cpus) };
    } catch (error) {
      this.state = "ready";
      throw error;
    }
  }

  private async attachAll(): Promise<void> {
    const first = await this.pool.send({ kind: "attach", cpu: 0, machine: this.parts, boots: true });
    const others = await Promise.all(
      Array.from({ length: this.config.cpus - 1 }, (_, i) =>
        this.pool.send({ kind: "attach", cpu: i + 1, machine: this.parts, boots: false }),
      ),
    );
    const bad = [first, ...others].find((answer) => !answer.ok);
    if (bad === undefined) return;
    this.state = "dead";
    await this.pool.destroy();
    throw new Error(
      bad.ok || bad.stopped ? "boot stopped" : `boot failed on cpu ${bad.fault.cpu}: ${bad.fault.message}`,
    );
  }

  private broadcast(task: (cpu: number) => CpuTask): Promise<CpuAnswer[]> {
    return Promise.all(Array.from({ length: this.config.cpus }, (_, cpu) => this.pool.send(task(cpu))));
  }
}

/** What a campaign found. */
export interface CampaignResult {
  readonly failure: CampaignAnswer["failure"];
  /** A failure of the campaign itself: setup, a lost thread. */
  readonly fault: Fault | null;
  readonly executions: number;
  readonly steps: number;
  readonly switches: number;
  readonly elapsedMs: number;
  readonly hash: number;
  readonly reached: readonly string[];
  /** Replay: the step at which the program took another way than recorded; -1 if it did not. */
  readonly divergedAt: number;
}

interface Outcome {
  readonly cpuResults: readonly CpuResult[];
  readonly fault: Fault | null;
}

/** One run of a program: setup alone, run on all CPUs, check alone. */
class Run {
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
    const setup = await this.sendAll([{ ...common, kind: "setup", cpu: 0, values: [] }]);
    if (setup.fault !== null) return { cpuResults: [], fault: setup.fault };
    this.armControl();
    const shared = setup.values[0];
    const operations = this.options.operations ?? Infinity;
    const tasks: CpuTask[] = [];
    for (let cpu = 0; cpu < cpus; cpu++) tasks.push({ ...common, kind: "run", cpu, shared, operations });
    const stopTimer = this.stopWhenDue();
    const ran = await this.sendAll(tasks);
    stopTimer();
    const cpuResults = ran.values as CpuResult[];
    if (ran.fault !== null) return { cpuResults: [], fault: ran.fault };
    const values = cpuResults.map((r) => r.value);
    const checked = await this.sendAll([{ ...common, kind: "check", cpu: 0, values }]);
    return { cpuResults, fault: checked.fault };
  }

  async explore(moduleUrl: string, campaign: CampaignTask): Promise<CampaignResult> {
    const { cpus } = this.parts.config;
    const options = this.options.options ?? {};
    const common = { id: this.parts.id, moduleUrl, options };
    const setup = await this.sendAll([{ ...common, kind: "setup", cpu: 0, values: [] }]);
    const prepared =
      setup.fault ?? (await this.sendAll([{ id: this.parts.id, kind: "prepare", cpu: 0, campaign }])).fault;
    const startedAt = performance.now();
    let fault = prepared;
    let answers: CampaignAnswer[] = [];
    if (fault === null) {
      const tasks: CpuTask[] = [];
      for (let cpu = 0; cpu < cpus; cpu++) {
        tasks.push({ ...common, kind: "explore", cpu, shared: setup.values[0], campaign });
      }
      const ran = await this.sendAll(tasks);
      fault = ran.fault;
      answers = ran.values.filter((a) => a !== null) as CampaignAnswer[];
    }
    const doubles = new Float64Array(this.control.buffer);
    const failure = answers.find((a) => a.failure !== null)?.failure ?? null;
    return {
      failure,
      fault,
      executions: this.control[explore.execution],
      steps: doubles[explore.totalSteps >> 1],
      switches: doubles[explore.totalSwitches >> 1],
      elapsedMs: performance.now() - startedAt,
      hash: answers[0]?.hash ?? 0,
      reached: [...new Set(answers.flatMap((a) => a.reached))],
      divergedAt: this.control[explore.diverged] - 1,
    };
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
    if (seconds !== undefined) {
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
  private async sendAll(tasks: readonly CpuTask[]): Promise<{ values: unknown[]; fault: Fault | null }> {
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
