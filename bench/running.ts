/** A machine that a bench runs one workload on, again and again. */

import type { MachineConfig } from "../src/machine/config.ts";
import { Machine } from "../src/machine/machine.ts";
import { destroyIdlePools } from "../src/machine/pool.ts";
import type { ProgramOptions, RunResult } from "../src/machine/program.ts";

export interface Rate {
  /** Of all CPUs together, over the longest time that one took. */
  readonly perSecond: number;
  /** Time of a CPU for one operation. */
  readonly nsPerOperation: number;
  /** Slowest CPU over fastest. */
  readonly fairness: number;
}

export class Running {
  private readonly machine: Machine;
  private readonly program: string;
  private readonly options: ProgramOptions;

  private constructor(machine: Machine, program: string, options: ProgramOptions) {
    this.machine = machine;
    this.program = program;
    this.options = options;
  }

  static async on(config: MachineConfig, program: string, options: ProgramOptions = {}): Promise<Running> {
    return new Running(await Machine.boot(config), program, options);
  }

  async run(seconds: number): Promise<RunResult> {
    const result = await this.machine.run(this.program, { seconds, options: this.options });
    if (result.fault !== null) throw new Error(`${this.program}: ${result.fault.message}`);
    return result;
  }

  /** One run, as the rate of `phase`. */
  async rate(phase: string, seconds: number): Promise<Rate> {
    const parts = (await this.run(seconds)).cpuResults.flatMap((cpu) =>
      cpu.phases.filter((p) => p.name === phase),
    );
    const operations = parts.reduce((sum, part) => sum + part.operations, 0);
    const rates = parts.map((part) => part.operations / part.elapsedNs);
    return {
      perSecond: (operations / Math.max(...parts.map((part) => part.elapsedNs))) * 1e9,
      nsPerOperation: parts.reduce((sum, part) => sum + part.elapsedNs, 0) / operations,
      fairness: Math.min(...rates) / Math.max(...rates),
    };
  }

  /** One run, as a metric that CPU 0 returned. */
  async metric(name: string, seconds: number): Promise<number> {
    const { metrics } = (await this.run(seconds)).cpuResults[0].value as {
      metrics: Record<string, { value: number }>;
    };
    return metrics[name].value;
  }

  async halt(): Promise<void> {
    await this.machine.halt();
  }
}

/** Halts all and ends their threads. */
export async function haltAll(...machines: readonly Running[]): Promise<void> {
  for (const machine of machines) await machine.halt();
  await destroyIdlePools();
}
