/** What runs on a machine before somebody looks at it: a workload, or the example that leaves processes. */

import { plural } from "../experiment/format.ts";
import { TOUR } from "../experiment/tour/tour.ts";
import type { Machine } from "../machine/machine.ts";
import type { ProgramOptions, RunResult } from "../machine/program.ts";
import type { Interruption } from "./interrupt.ts";
import { say } from "./output.ts";

export interface First {
  /** Undefined: the example. */
  readonly after: string | undefined;
  readonly seconds: number;
  readonly options: ProgramOptions;
}

/** The result of the run; null after a fault, which has been said. */
export async function runFirst(
  machine: Machine,
  { after, seconds, options }: First,
  { signal }: Interruption,
): Promise<RunResult | null> {
  if (after === undefined) return machine.run(TOUR, { operations: 1, signal });
  say(`running ${after} on ${plural(machine.config.cpus, "CPU")} for ${seconds} s`);
  const result = await machine.run(after, { options, seconds, signal });
  if (result.fault === null) return result;
  say(`fault: ${result.fault.message}\n${result.fault.report}`);
  return null;
}
