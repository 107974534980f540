/** One run in simulated time, as all that may not depend on the host: clocks, statistics, RAM, the events of each CPU. */

import { factsOf } from "../../src/experiment/audit.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { RunOptions } from "../../src/machine/run.ts";

export interface SimulatedRun {
  readonly program: string;
  readonly machine: MachineConfig;
  readonly run: RunOptions;
}

/** Boots a machine, runs the program and checks the machine; throws on a fault. */
export async function simulatedFacts({
  program,
  machine: config,
  run,
}: SimulatedRun): Promise<Map<string, unknown>> {
  const machine = await Machine.boot({ memory: "16MiB", ...config, mode: "virtual" });
  const result = await machine.run(program, run);
  if (result.fault !== null) throw new Error(`${program}: ${result.fault.message}\n${result.fault.report}`);
  const facts = factsOf({ result, digest: machine.digest() });
  for (const [cpu, ring] of machine.traces().entries()) facts.set(`CPU ${cpu}: events`, ring);
  const { fault } = await machine.check();
  if (fault !== null) throw new Error(`${program}: ${fault.message}`);
  await machine.halt();
  return facts;
}
