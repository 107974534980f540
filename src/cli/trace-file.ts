/** `--trace`: one more run with every event recorded, apart from the measured ones, which recording would slow down. */

import { runAndKeepTrace } from "../experiment/machine-runner.ts";
import type { SweepPlan } from "../experiment/sweep.ts";
import { type ChromeTrace, chromeTrace } from "../experiment/trace-export.ts";
import { VECTOR_NAMES } from "../hardware/vectors.ts";
import { lockClassName } from "../sync/lock-class.ts";
import { say, writeResult } from "./output.ts";
import { commandLine } from "./report-output.ts";

const LONGEST_SECONDS = 0.5;

/** Records the first variant with the most CPUs of the plan. */
export async function recordTrace(plan: SweepPlan, signal: AbortSignal): Promise<ChromeTrace> {
  const [variant] = plan.variants;
  const cpus = Math.max(...(variant.cpus ?? plan.cpus));
  const { seconds = variant.seconds, operations } = plan;
  const { result, traces } = await runAndKeepTrace({
    workload: plan.workload,
    machine: { ...plan.machine, ...variant.machine, cpus, seed: plan.seed, trace: true },
    options: { ...plan.options, ...variant.options },
    ...(seconds === undefined ? {} : { seconds: Math.min(seconds, LONGEST_SECONDS) }),
    ...(operations === undefined ? {} : { operations }),
    check: false,
    signal,
  });
  const phases = result.cpuResults[0]?.phases.map((phase) => phase.name) ?? [];
  return chromeTrace(
    traces.map((ring, cpu) => ({ ...ring, cpu })),
    {
      title: `${plan.workload}, ${cpus} CPUs`,
      names: {
        lock: lockClassName,
        vector: (vector) => VECTOR_NAMES[vector]?.[0] ?? `vector ${vector}`,
        phase: (phase) => phases[phase] ?? `phase ${phase}`,
      },
      about: {
        command: commandLine(),
        mode: result.mode,
        clock: result.mode === "virtual" ? "simulated" : "the host's",
        seed: String(result.seed),
        hostCores: String(result.hostCores),
      },
    },
  );
}

export function writeTrace(trace: ChromeTrace, path: string): void {
  writeResult(path, JSON.stringify(trace));
  const events = trace.traceEvents.length;
  say(`wrote ${path}: ${events} events; open it in https://ui.perfetto.dev or chrome://tracing`);
}
