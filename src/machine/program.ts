/**
 * What runs on a machine, and what a run returns.
 *
 * A *kernel module* is a TypeScript file that imports only types from smpsim and gets everything by argument.  Its
 * `run` executes on every CPU at once, each on its own thread.  A *user program* is a file without `run` that exports
 * `main`: see user-program.
 */

import type { Shape } from "../memory/shape.ts";
import type { ScenarioDescription } from "../scenarios/description.ts";
import type { WorkloadDescription } from "../workloads/description.ts";
import type { Kernel } from "./kernel.ts";
import type { LineReport } from "./line-report.ts";

/** Values that a program is given: from `--set key=value` or the library's `options`. */
export type ProgramOptions = Readonly<Record<string, string | number | boolean>>;

/** The exports of a kernel module. */
export interface KernelModule {
  /** Name, phases and options: with it, the options are checked and completed before the run. */
  readonly describe?: WorkloadDescription | ScenarioDescription;
  /** Parts of the kernel that a thread loads only for modules that ask for them. */
  readonly needs?: readonly ("scheduler" | "reports")[];
  /** On the boot CPU alone, before the others start.  What it returns is given to `run` and `check` (plain data). */
  setup?(kernel: Kernel, options: ProgramOptions): unknown;
  /**
   * On every CPU after `setup`: interrupt handlers, names of places in RAM, views of shared structures.  What it returns
   * is given to this CPU's `run` and `check`.
   */
  attach?(kernel: Kernel, options: ProgramOptions, shared: unknown): unknown;
  /** On every CPU, at once.  What it returns is this CPU's `value` (plain data). */
  run(kernel: Kernel, options: ProgramOptions, shared: unknown, local?: unknown): unknown;
  /** On the boot CPU alone, at rest, after all have ended: throws or calls `bug` when something is wrong. */
  check?(
    kernel: Kernel,
    options: ProgramOptions,
    values: readonly unknown[],
    shared: unknown,
    local?: unknown,
  ): void;
}

/** One timed part of a program on one CPU. */
export interface PhaseResult {
  readonly name: string;
  readonly operations: number;
  /** From the phase's start gate to this CPU's own end, in the mode's time. */
  readonly elapsedNs: number;
}

export interface CpuResult {
  readonly cpu: number;
  readonly phases: readonly PhaseResult[];
  /** From the run's common start until this CPU's program ended, in the mode's time. */
  readonly elapsedNs: number;
  /** What `run` returned. */
  readonly value: unknown;
  /** What this CPU wrote to the kernel log. */
  readonly log: readonly string[];
  /** Times this CPU slept, slices it gave away. */
  readonly parks: number;
  readonly slices: number;
}

/** Statistics of one lock class over the run, summed over CPUs.  Times in ns. */
export interface LockResult {
  readonly name: string;
  readonly acquisitions: number;
  readonly contended: number;
  readonly waitNs: number;
  readonly waitMaxNs: number;
  /** 0 without lock statistics. */
  readonly heldNs: number;
}

/** Why a run ended badly. */
export interface Fault {
  readonly kind:
    | "usage"
    | "bug"
    | "exception"
    | "worker"
    | "memory"
    | "hang"
    | "deadlock"
    | "check"
    | "limit"
    | "nondeterminism";
  /** CPU that failed; -1: none in particular. */
  readonly cpu: number;
  readonly message: string;
  readonly stack: string;
  /** Who holds and waits for what, last events of each CPU; taken before the CPUs unwind. */
  readonly report: string;
}

export interface RunResult {
  readonly mode: Shape["mode"];
  readonly seed: number;
  readonly cpus: number;
  readonly hostCores: number;
  /** How many CPUs may run at once. */
  readonly tokens: number;
  readonly pinned: boolean;
  readonly program: string;
  readonly options: ProgramOptions;
  readonly wallMs: number;
  readonly cpuResults: readonly CpuResult[];
  readonly locks: readonly LockResult[];
  /** Interrupts taken per vector, summed over CPUs. */
  readonly interrupts: Readonly<Record<string, number>>;
  /** Lines that travelled between caches; only with `cacheLines`, in simulated time. */
  readonly cacheLines: LineReport | null;
  /** True when Ctrl-C or `stop` ended it early: what was measured is kept. */
  readonly interrupted: boolean;
  readonly fault: Fault | null;
}
