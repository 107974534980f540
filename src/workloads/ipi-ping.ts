/**
 * How long a function call on another CPU takes, from the call to the end of the wait.
 *
 * CPU 0 calls each other CPU in turn and waits; the others work through operations, so they are found running, or wait
 * for the end of the run, so they are found halted once they have stopped spinning.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pointer } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { CALL_OPTIONS, timeCalls } from "./parts/timed-calls.ts";

export const describe: WorkloadDescription = {
  name: "ipi-ping",
  summary:
    "CPU 0 calls an empty function on each other CPU in turn and waits; gives the latency's percentiles.",
  phases: ["call"],
  operation: "one smp_call_function_single with wait",
  options: CALL_OPTIONS,
  minCpus: 2,
};

export { attach, check, setup } from "./parts/timed-calls.ts";

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { calls, cpus } = kernel;
  return timeCalls(
    kernel,
    options,
    shared as Pointer,
    { phase: "call", metric: "round trip" },
    (id, done) => {
      calls.single(1 + (done % (cpus - 1)), id, 0, true);
    },
  );
}
