/**
 * How long a function call on all CPUs takes: the wait of a TLB shootdown or of a drain of all page lists.
 *
 * CPU 0 calls; the others work through operations, or wait for the end of the run and halt.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pointer } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { CALL_OPTIONS, timeCalls } from "./parts/timed-calls.ts";

export const describe: WorkloadDescription = {
  name: "ipi-broadcast",
  summary: "CPU 0 calls an empty function on all CPUs at once and waits; gives the latency's percentiles.",
  phases: ["broadcast"],
  operation: "one on_each_cpu with wait",
  options: CALL_OPTIONS,
  minCpus: 2,
};

export { attach, check, setup } from "./parts/timed-calls.ts";

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { calls } = kernel;
  return timeCalls(kernel, options, shared as Pointer, { phase: "broadcast", metric: "broadcast" }, (id) => {
    calls.onEach(id, 0, true);
  });
}
