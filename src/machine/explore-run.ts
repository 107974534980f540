/**
 * One campaign on a machine: setup alone, every CPU attaches alone, then all explore.
 */

import { Control } from "../memory/control.ts";
import { explore, exploreCpu, exploreCpuBase } from "../schedule/explore/state.ts";
import type { Fault, ProgramOptions } from "./program.ts";
import type { CampaignAnswer, CampaignTask, CpuTask, MachineParts } from "./task.ts";

const PROGRESS_MS = 500;

/** How far a campaign is. */
export interface CampaignProgress {
  readonly executions: number;
  readonly wanted: number;
  readonly steps: number;
  readonly elapsedMs: number;
}

export interface CampaignOptions {
  readonly options?: ProgramOptions;
  /** Of each CPU; default as many as the program likes. */
  readonly operations?: number;
  /** Ends the campaign after the present execution; what was measured is kept. */
  readonly signal?: AbortSignal;
  /** Called about twice a second. */
  readonly onProgress?: (progress: CampaignProgress) => void;
}

/** What a campaign found. */
export interface CampaignResult {
  readonly failure: CampaignAnswer["failure"];
  /** A failure of the campaign itself: setup, a lost thread. */
  readonly fault: Fault | null;
  /** Executions that ended, the failing one included. */
  readonly executions: number;
  readonly steps: number;
  readonly switches: number;
  readonly elapsedMs: number;
  /** Over all executions, if hashes were asked for. */
  readonly hash: number;
  /** Hash of RAM before the first step. */
  readonly startHash: number;
  readonly reached: readonly string[];
  /** Replay: the step at which the program took another way than recorded; -1 if it did not. */
  readonly divergedAt: number;
  /** What the CPUs wrote to the kernel log in the last execution. */
  readonly kernelLog: readonly string[];
  /** One entry a CPU, on machines that trace. */
  readonly traces: readonly Pick<CampaignAnswer, "log" | "events">[];
}

/** Sends tasks to their CPUs, as `Run.sendAll` does. */
type SendAll = (tasks: readonly CpuTask[]) => Promise<{ values: unknown[]; fault: Fault | null }>;

export class CampaignRun {
  private readonly parts: MachineParts;
  private readonly control: Int32Array;
  private readonly doubles: Float64Array;
  private readonly sendAll: SendAll;
  private readonly options: CampaignOptions;

  constructor(parts: MachineParts, sendAll: SendAll, options: CampaignOptions) {
    this.parts = parts;
    this.control = new Int32Array(parts.buffers.control);
    this.doubles = new Float64Array(parts.buffers.control);
    this.sendAll = sendAll;
    this.options = options;
  }

  async execute(moduleUrl: string, campaign: CampaignTask): Promise<CampaignResult> {
    const { control, doubles } = this;
    const { answers, fault, elapsedMs } = await this.runAll(moduleUrl, campaign);
    const failure = answers.find((a) => a.failure !== null)?.failure ?? null;
    return {
      failure,
      fault,
      executions: control[explore.done] + (failure === null ? 0 : 1),
      steps: doubles[explore.totalSteps >> 1],
      switches: doubles[explore.totalSwitches >> 1],
      elapsedMs,
      hash: answers[0]?.hash ?? 0,
      startHash: control[explore.startHash] >>> 0,
      reached: [...new Set(answers.flatMap((a) => a.reached))].sort(),
      divergedAt: control[explore.diverged] - 1,
      kernelLog: answers.flatMap((a) => a.kernelLog),
      traces: answers.map(({ log, events }) => ({ log, events })),
    };
  }

  private async runAll(
    moduleUrl: string,
    campaign: CampaignTask,
  ): Promise<{ answers: CampaignAnswer[]; fault: Fault | null; elapsedMs: number }> {
    const { cpus } = this.parts.config;
    const { id } = this.parts;
    const common = { id, moduleUrl, options: this.options.options ?? {} };
    const bad = (fault: Fault) => ({ answers: [], fault, elapsedMs: 0 });
    const setup = await this.sendAll([{ ...common, kind: "setup", cpu: 0, shared: null, values: [] }]);
    if (setup.fault !== null) return bad(setup.fault);
    const shared = setup.values[0];
    for (let cpu = 0; cpu < cpus; cpu++) {
      const { fault } = await this.sendAll([{ ...common, kind: "join", cpu, shared }]);
      if (fault !== null) return bad(fault);
    }
    if (campaign.tape !== undefined) this.loadTape(campaign.tape);
    for (let cpu = 0; cpu < cpus; cpu++) this.control[exploreCpuBase(cpu) + exploreCpu.baton] = 0;
    this.control[Control.stop] = 0;
    const prepared = await this.sendAll([{ id, kind: "prepare", cpu: 0, campaign }]);
    if (prepared.fault !== null) return bad(prepared.fault);
    const startedAt = performance.now();
    const stopWatching = this.watch(startedAt);
    const { operations = Infinity } = this.options;
    const tasks = Array.from({ length: cpus }, (_, cpu): CpuTask => {
      return { ...common, kind: "explore", cpu, shared, campaign, operations };
    });
    const ran = await this.sendAll(tasks);
    stopWatching();
    const answers = ran.values.filter((a) => a !== null) as CampaignAnswer[];
    return { answers, fault: ran.fault, elapsedMs: performance.now() - startedAt };
  }

  /** The tape to replay ends with an entry of zeros. */
  private loadTape(tape: Int32Array): void {
    const { explore: buffers } = this.parts.buffers;
    if (buffers === null) return;
    const words = new Int32Array(buffers.replay);
    words.set(tape);
    words.fill(0, tape.length, tape.length + 2);
  }

  /** Passes the signal on to the CPUs, and the counters to the caller. */
  private watch(startedAt: number): () => void {
    const { signal, onProgress } = this.options;
    const stop = (): void => void Atomics.store(this.control, Control.stop, 1);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    const report = (): void =>
      onProgress?.({
        executions: this.control[explore.done],
        wanted: this.control[explore.wanted],
        steps: this.doubles[explore.totalSteps >> 1],
        elapsedMs: performance.now() - startedAt,
      });
    const timer = onProgress === undefined ? undefined : setInterval(report, PROGRESS_MS);
    return () => {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
    };
  }
}
