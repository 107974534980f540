/**
 * Messages between the main thread and the CPUs' threads: plain data only.
 *
 * An answer never rejects: an error crosses as data, since a thrown one loses its fields on the way.
 */

import type { RamMemory } from "../memory/wasm-atomics.ts";
import type { SlabPlace } from "../mm/slab/cache-sample.ts";
import type { WalkRequest } from "../procfs/walk/walk-answer.ts";
import type { CampaignPlan } from "../schedule/explore/campaign.ts";
import type { ExploreBuffers } from "../schedule/explore/state.ts";
import type { LoggedSteps } from "../schedule/explore/step-log.ts";
import type { HostMoment } from "../schedule/host-clock.ts";
import type { VirtualParts } from "../schedule/virtual/create.ts";
import type { ResolvedConfig } from "./config.ts";
import type { Scene } from "./explore-scene.ts";
import type { CpuResult, Fault, LockResult, ProgramOptions } from "./program.ts";

/** The buffers that make a machine. */
export interface Buffers {
  readonly ram: SharedArrayBuffer;
  /** The same RAM as a WebAssembly memory; only in parallel mode. */
  readonly wasmRam: RamMemory | null;
  readonly control: SharedArrayBuffer;
  readonly states: SharedArrayBuffer;
  readonly trace: SharedArrayBuffer;
  /** Only on machines of explore mode. */
  readonly explore: ExploreBuffers | null;
}

export interface MachineParts {
  readonly id: number;
  readonly config: ResolvedConfig;
  readonly buffers: Buffers;
  /** Only on machines of virtual time. */
  readonly virtual: VirtualParts | null;
  /** When the machine began. */
  readonly origin: HostMoment;
}

export interface CampaignTask {
  readonly strategy: "random" | "pct" | "both" | "replay" | "scripts";
  /** PCT's depth d. */
  readonly depth: number;
  readonly plan: CampaignPlan;
  /** What `replay` replays: pairs (step, cpu); the scripts of `scripts`, packed. */
  readonly tape?: Int32Array;
  /** On a machine that traces: the step from which all is logged.  Default: nothing is. */
  readonly logFrom?: number;
}

/** How an execution failed. */
export interface CampaignFailure {
  readonly execution: number;
  readonly step: number;
  readonly fault: Fault;
  /** Pairs (step, cpu). */
  readonly tape: Int32Array;
  /** Hash of RAM and CPUs at the failure. */
  readonly hash: number;
  readonly scene: Scene;
}

/** An interrupt, or what else the trace ring knows, at its step. */
export interface SchedulerEvent {
  readonly step: number;
  readonly cpu: number;
  /** A `TraceEvent`. */
  readonly code: number;
  readonly a: number;
  readonly b: number;
}

/** The value of an `explore` task's answer. */
export interface CampaignAnswer {
  readonly failure: CampaignFailure | null;
  readonly hash: number;
  /** Mutants whose places this CPU executed. */
  readonly reached: readonly string[];
  /** What this CPU wrote to the kernel log in the last execution. */
  readonly kernelLog: readonly string[];
  /** Only on machines that trace. */
  readonly log: LoggedSteps | null;
  readonly events: readonly SchedulerEvent[];
}

/** The value of an `attach` task's answer. */
export interface BootAnswer {
  /** The boot CPU's; empty elsewhere. */
  readonly log: readonly string[];
  /** Where the main thread finds object caches. */
  readonly slabs: SlabPlace;
}

export type CpuTask =
  | { readonly kind: "attach"; readonly cpu: number; readonly machine: MachineParts; readonly boots: boolean }
  | {
      readonly kind: "setup" | "check";
      readonly cpu: number;
      readonly id: number;
      readonly moduleUrl: string;
      readonly options: ProgramOptions;
      readonly shared: unknown;
      readonly values: readonly unknown[];
    }
  | {
      readonly kind: "run";
      readonly cpu: number;
      readonly id: number;
      readonly moduleUrl: string;
      readonly options: ProgramOptions;
      readonly shared: unknown;
      readonly operations: number;
      /** Of simulated time; Infinity when the main thread tells the end. */
      readonly seconds: number;
    }
  | {
      readonly kind: "join";
      readonly cpu: number;
      readonly id: number;
      readonly moduleUrl: string;
      readonly options: ProgramOptions;
      readonly shared: unknown;
    }
  | { readonly kind: "prepare"; readonly cpu: number; readonly id: number; readonly campaign: CampaignTask }
  | {
      readonly kind: "explore";
      readonly cpu: number;
      readonly id: number;
      readonly moduleUrl: string;
      readonly options: ProgramOptions;
      readonly shared: unknown;
      readonly campaign: CampaignTask;
      /** Of each CPU. */
      readonly operations: number;
    }
  | { readonly kind: "inspect"; readonly cpu: number; readonly id: number }
  | { readonly kind: "leaks"; readonly cpu: number; readonly id: number }
  | { readonly kind: "proc"; readonly cpu: number; readonly id: number; readonly report: string }
  | { readonly kind: "walk"; readonly cpu: number; readonly id: number; readonly request: WalkRequest }
  | {
      readonly kind: "lines";
      readonly cpu: number;
      readonly id: number;
      /** Of each CPU, packed (line-counts). */
      readonly counts: readonly Float64Array[];
    }
  | {
      readonly kind: "release";
      readonly cpu: number;
      readonly id: number;
      /** Much memory of halted machines has come together: collect it. */
      readonly collect: boolean;
    }
  /** What this thread has compiled itself. */
  | { readonly kind: "code"; readonly cpu: number };

export type CpuAnswer =
  | { readonly ok: true; readonly value: unknown; readonly threadId: number }
  | { readonly ok: false; readonly stopped: true; readonly threadId: number }
  | { readonly ok: false; readonly stopped: false; readonly fault: Fault; readonly threadId: number };

/** The value of a `run` task's answer. */
export interface RunValue {
  readonly result: CpuResult;
  /** Of all CPUs; only from the one that ended last. */
  readonly locks: readonly LockResult[] | null;
  /** Packed transfer counts (line-counts); null when they are not counted. */
  readonly lines: Float64Array | null;
}
