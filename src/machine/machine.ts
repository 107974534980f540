/**
 * The machine: boots it, runs programs on it, watches it, halts it.
 *
 * The main thread is no CPU and takes no kernel lock.  A run that fails discards the machine: after a kill the shared
 * memory is poisoned, so nothing of it is used again.
 */

import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { PageFault } from "../hardware/page-table-entry.ts";
import { UsageError } from "../memory/bug.ts";
import { CpuControl, cpuControl } from "../memory/control.ts";
import { RamView } from "../memory/ram-view.ts";
import { Snapshot } from "../memory/snapshot.ts";
import type { RingContents } from "../memory/trace.ts";
import type { Leak } from "../mm/leaks/leaks.ts";
import { type CacheSample, type SlabPlace, sampleCaches } from "../mm/slab/cache-sample.ts";
import { reportNamed } from "../procfs/reports.ts";
import type { WalkAnswer, WalkRequest } from "../procfs/walk/walk-answer.ts";
import { hostMoment } from "../schedule/host-clock.ts";
import { ParallelTurn } from "../schedule/parallel.ts";
import { createTables, type VirtualParts } from "../schedule/virtual/create.ts";
import { createBuffers, ringOf } from "./buffers.ts";
import { collectGarbage, isTimeToCollect } from "./collect.ts";
import { type MachineConfig, type ResolvedConfig, resolveConfig } from "./config.ts";
import { type CampaignOptions, type CampaignResult, CampaignRun } from "./explore-run.ts";
import type { CheckReport, RefusedReport } from "./inspect.ts";
import { memoryNodes, placePerCpuChunks } from "./memory-nodes.ts";
import { notPinned, type PinnedThreads, pinThreads } from "./pin.ts";
import { CpuPool } from "./pool.ts";
import type { Fault, ProgramOptions, RunResult } from "./program.ts";
import { programOptions, resolveProgram } from "./resolve-program.ts";
import { Run, type RunOptions } from "./run.ts";
import type { BootAnswer, CampaignTask, CpuAnswer, CpuTask, MachineParts } from "./task.ts";

let nextId = 1;

export class Machine {
  readonly config: ResolvedConfig;
  private readonly parts: MachineParts;
  private readonly pool: CpuPool;
  private readonly control: Int32Array;
  /** What the boot CPU wrote while booting, as dmesg prints it. */
  bootLog: readonly string[] = [];
  private slabPlace: SlabPlace | null = null;
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
    const buffers = createBuffers(resolved);
    const parts: MachineParts = {
      id: nextId++,
      config: resolved,
      origin: hostMoment(),
      buffers,
      virtual: virtualParts(resolved, buffers.ram.byteLength),
    };
    ParallelTurn.format(new Int32Array(buffers.control), cpus, resolved.tokens);
    const machine = new Machine(parts, CpuPool.acquire(shape, cpus, resolved.heapMiB));
    await machine.attachAll();
    return machine;
  }

  /** Runs a workload by name, or a kernel module by path, on every CPU. */
  async run(program: string, options: RunOptions = {}): Promise<RunResult> {
    if (this.config.shape.mode === "explore")
      throw new UsageError("a machine of explore mode runs programs with explore()");
    const { moduleUrl, given } = await this.begin(program, options);
    const isSimulated = this.config.shape.mode === "virtual";
    const { pinned } = isSimulated
      ? await this.pool.pin(options.pin ?? true, this.hostThreadIds())
      : notPinned("threads run at once").state;
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
      pinned,
      program,
      options: given,
      wallMs: performance.now() - startedAt,
      cpuResults: outcome.cpuResults,
      locks: outcome.locks,
      interrupts: outcome.interrupts,
      cacheLines: outcome.cacheLines,
      interrupted: options.signal?.aborted ?? false,
      fault: outcome.fault,
    };
  }

  /**
   * Runs a program under many schedules; the machine must be of explore mode.  Ends at the first failure, when all
   * executions are done, or on the signal.
   */
  async explore(
    program: string,
    campaign: CampaignTask,
    options: CampaignOptions = {},
  ): Promise<CampaignResult> {
    if (this.config.shape.mode !== "explore")
      throw new UsageError('explore needs a machine with mode "explore"');
    const { moduleUrl, given } = await this.begin(program, options);
    const tasks = new Run(this.parts, this.pool, this.control, {});
    const run = new CampaignRun(this.parts, (all) => tasks.sendAll(all), { ...options, options: given });
    const result = await run.execute(moduleUrl, campaign);
    this.state = "ready";
    if (result.fault !== null) {
      this.state = "dead";
      await this.pool.destroy();
    } else if (result.failure !== null) {
      await this.halt();
    }
    return result;
  }

  /** Runs the invariants of every subsystem, at rest.  The fault says what does not hold. */
  async check(): Promise<{ report: CheckReport | null; fault: Fault | null }> {
    const answer = await this.lookAtRest("checked", {
      kind: "inspect",
      cpu: 0,
      id: this.parts.id,
    });
    if (answer.ok) return { report: answer.value as CheckReport, fault: null };
    return { report: null, fault: { ...answer.fault, kind: "check" } };
  }

  /** Objects that are given out and that nothing refers to, at rest; see mm/leaks/leak-scan.  Needs slab "slub". */
  async leaks(): Promise<readonly Leak[]> {
    const { slab } = this.config.shape;
    if (slab !== "slub")
      throw new UsageError(`slab: "${slab}" does not say which objects are given out; valid is slub`);
    const answer = await this.lookAtRest("searched", { kind: "leaks", cpu: 0, id: this.parts.id });
    if (answer.ok) return answer.value as readonly Leak[];
    throw new Error(`leaks: ${answer.fault.message}\n${answer.fault.report}`);
  }

  /**
   * A report as Linux prints it, at rest: "buddyinfo" for /proc/buddyinfo; `procNames()` lists them.  "core-latency" is
   * measured by a run of that workload first, which is given `options`.
   */
  async proc(name: string, options: ProgramOptions = {}): Promise<string> {
    const report = reportNamed(name);
    if ("render" in report) {
      const [key] = Object.keys(options);
      if (key !== undefined) throw new UsageError(`proc: report ${name} has no option ${key}`);
      const task = { kind: "proc", cpu: 0, id: this.parts.id, report: name } as const;
      return this.ask<string>("proc", `report ${name}`, task);
    }
    const { cpuResults, fault } = await this.run(report.workload, { operations: 1, options });
    if (fault !== null) throw new Error(`report ${name}: ${fault.message}\n${fault.report}`);
    return report.renderValues(cpuResults.map(({ value }) => value));
  }

  /**
   * A translation, step by step, at rest: an address of the process `pid`, or of the kernel (below 0).  With `touches` the
   * access is made, too.
   */
  async walk(address: number, options: Partial<Omit<WalkRequest, "address">> = {}): Promise<WalkAnswer> {
    const request = { pid: null, access: PageFault.USER, touches: false, ...options, address };
    return this.ask<WalkAnswer>("walk", "walk", { kind: "walk", cpu: 0, id: this.parts.id, request });
  }

  /** What CPU 0 answers at rest; what it refuses is the user's mistake. */
  private async ask<T>(who: string, what: string, task: CpuTask): Promise<T> {
    const answer = await this.lookAtRest("read", task);
    if (!answer.ok) throw new Error(`${what}: ${answer.fault.message}\n${answer.fault.report}`);
    const value = answer.value as T | RefusedReport;
    if (typeof value === "object" && value !== null && "refused" in value)
      throw new UsageError(`${who}: ${String(value.refused)}`);
    return value as T;
  }

  /**
   * What each object cache has, oldest first; also while a program runs, of which it takes no notice: the figures are hints
   * then.  Linux: /proc/slabinfo.
   */
  sampleSlabs(): CacheSample[] {
    const { ram } = this.parts.buffers;
    return this.slabPlace === null ? [] : sampleCaches(new RamView(ram), this.slabPlace);
  }

  /** Pins the CPUs' threads to one host core, until `release`. */
  async pin(): Promise<PinnedThreads> {
    return pinThreads(this.hostThreadIds());
  }

  private hostThreadIds(): number[] {
    return Array.from({ length: this.config.cpus }, (_, cpu) => {
      return this.control[cpuControl(cpu) + CpuControl.threadId];
    });
  }

  /** A digest of RAM and the CPUs' states, at rest: equal for runs that did the same. */
  digest(): string {
    const hash = createHash("sha256");
    for (const buffer of [this.parts.buffers.ram, this.parts.buffers.states])
      hash.update(new Uint8Array(buffer));
    return hash.digest("hex");
  }

  /** The state of RAM and CPUs, at rest. */
  snapshot(): Snapshot {
    if (this.state !== "ready")
      throw new UsageError(`the machine is ${this.state}; a snapshot is taken at rest`);
    return new Snapshot(this.parts.buffers.ram, this.parts.buffers.states);
  }

  /** Puts the machine back to a snapshot of it; returns the number of frames that had changed. */
  restore(snapshot: Snapshot): number {
    if (this.state !== "ready") throw new UsageError(`the machine is ${this.state}; it is restored at rest`);
    return snapshot.restore(this.parts.buffers.ram, this.parts.buffers.states);
  }

  /** The recorded events of each CPU. */
  traces(): RingContents[] {
    return Array.from({ length: this.config.cpus }, (_, cpu) => ringOf(this.parts, cpu).contents());
  }

  /** Gives the CPUs' threads back.  The machine cannot be used afterwards. */
  async halt(): Promise<void> {
    if (this.state === "running") throw new UsageError("the machine is running; stop its program first");
    if (this.state === "dead") return;
    this.state = "dead";
    const collect = isTimeToCollect(this.config.memoryBytes);
    // A thread that this machine had no CPU for may have had one of a machine before, which it keeps until it collects.
    const threads = collect ? this.pool.size : this.config.cpus;
    await this.broadcast((cpu) => ({ kind: "release", cpu, id: this.parts.id, collect }), threads);
    if (collect) collectGarbage();
    await this.pool.release();
  }

  /** Has CPU 0 look at the kernel while nothing runs; an answer that is a fault has killed the machine. */
  private async lookAtRest(verb: string, task: CpuTask): Promise<Exclude<CpuAnswer, { stopped: true }>> {
    if (this.state !== "ready") throw new UsageError(`the machine is ${this.state}; it is ${verb} at rest`);
    const answer = await this.pool.send(task);
    if (answer.ok) return answer;
    this.state = "dead";
    await this.pool.destroy();
    if (answer.stopped) throw new UsageError("the machine has stopped");
    return answer;
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
    const attach = (cpu: number): Promise<CpuAnswer> =>
      this.pool.send({ kind: "attach", cpu, machine: this.parts, boots: cpu === 0 });
    const answers = [await attach(0)];
    const others = Array.from({ length: this.config.cpus - 1 }, (_, i) => i + 1);
    if (this.config.shape.mode === "parallel") answers.push(...(await Promise.all(others.map(attach))));
    // In the serial modes the CPUs come one after the other, so that a boot is repeatable.
    else for (const cpu of others) answers.push(await attach(cpu));
    const bad = answers.find((answer) => !answer.ok);
    if (bad === undefined) {
      if (answers[0].ok) this.begun(answers[0].value as BootAnswer);
      const { virtual, buffers } = this.parts;
      if (virtual !== null) placePerCpuChunks(virtual.chunkNodes, this.config.topology, buffers.ram);
      await this.pool.keepCode();
      return;
    }
    this.state = "dead";
    await this.pool.destroy();
    if (!bad.ok && !bad.stopped && bad.fault.kind === "usage") throw new UsageError(bad.fault.message);
    throw new Error(
      bad.ok || bad.stopped ? "boot stopped" : `boot failed on cpu ${bad.fault.cpu}: ${bad.fault.message}`,
    );
  }

  private begun({ log, slabs }: BootAnswer): void {
    this.bootLog = log;
    this.slabPlace = slabs;
  }

  private broadcast(task: (cpu: number) => CpuTask, threads: number): Promise<CpuAnswer[]> {
    return Promise.all(Array.from({ length: threads }, (_, cpu) => this.pool.send(task(cpu))));
  }
}

function virtualParts(config: ResolvedConfig, ramBytes: number): VirtualParts | null {
  if (config.profile === null) return null;
  return {
    ...createTables(config.profile, config.topology, ramBytes),
    chunkNodes: memoryNodes(config.topology),
    switchAtEvery: config.switchAtEvery,
    slackCycles: config.slackCycles,
    countLines: config.countLines,
  };
}
