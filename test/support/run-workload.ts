/** Boots a machine, runs one workload on it, checks the kernel, halts. */

import { expect } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { RunResult } from "../../src/machine/program.ts";
import type { RunOptions } from "../../src/machine/run.ts";

/** The run's result, fault included; a run without a fault leaves a kernel whose invariants hold. */
export async function runOn(config: MachineConfig, program: string, options: RunOptions): Promise<RunResult> {
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  console.log(
    `${program} on ${config.cpus} CPUs, seed ${machine.config.seed}`,
    JSON.stringify(options.options ?? {}),
  );
  const result = await machine.run(program, options);
  if (result.fault === null) expect((await machine.check()).fault).toBe(null);
  await machine.halt();
  return result;
}

/** As `runOn`, where there must be no fault. */
export async function runWell(
  config: MachineConfig,
  program: string,
  options: RunOptions,
): Promise<RunResult> {
  const result = await runOn(config, program, options);
  expect(result.fault?.message ?? "no fault").toBe("no fault");
  return result;
}

/** Operations of each CPU in `phase`. */
export function operationsOf(result: RunResult, phase: string): number[] {
  return result.cpuResults.map((cpu) => cpu.phases.find((p) => p.name === phase)?.operations ?? 0);
}

/** A metric that CPU `cpu` returned. */
export function metricOf(result: RunResult, name: string, cpu = 0): number {
  const { metrics } = result.cpuResults[cpu].value as { metrics: Record<string, { value: number }> };
  return metrics[name].value;
}
