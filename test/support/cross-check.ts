/** Simulated time with switches at marked accesses, against switches at every access: the model's own cross-check. */

import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { RunOptions } from "../../src/machine/run.ts";

/** How far the two may be apart. */
export const AGREEMENT = 0.01;
const EVERY_ACCESS: MachineConfig = { switch: "all", slack: 200 };

export interface CrossCheck {
  readonly program: string;
  readonly memory: string;
  readonly run: RunOptions;
}

/** By phase: time of an operation with switches at every access, over that with switches at marked ones; 8 CPUs. */
export async function crossCheck({ program, memory, run }: CrossCheck): Promise<Record<string, number>> {
  const machine: MachineConfig = { cpus: 8, memory, mode: "virtual", seed: 3 };
  const marked = await nsPerOperation({ ...machine }, program, run);
  const all = await nsPerOperation({ ...machine, ...EVERY_ACCESS }, program, run);
  return Object.fromEntries(Object.entries(marked).map(([phase, ns]) => [phase, all[phase] / ns]));
}

async function nsPerOperation(
  config: MachineConfig,
  program: string,
  run: RunOptions,
): Promise<Record<string, number>> {
  const machine = await Machine.boot(config);
  const { fault, cpuResults } = await machine.run(program, run);
  await machine.halt();
  if (fault !== null) throw new Error(`${program}: ${fault.message}`);
  const phases = cpuResults.flatMap((cpu) => cpu.phases);
  const sum = (name: string, of: "elapsedNs" | "operations"): number =>
    phases.reduce((total, phase) => total + (phase.name === name ? phase[of] : 0), 0);
  const names = [...new Set(phases.map(({ name }) => name))];
  return Object.fromEntries(names.map((name) => [name, sum(name, "elapsedNs") / sum(name, "operations")]));
}
