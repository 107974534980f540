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
import { callTarget, emptyFunction } from "./parts/call-target.ts";
import { LatencyHistogram } from "./parts/latency-histogram.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "ipi-ping",
  summary:
    "CPU 0 calls an empty function on each other CPU in turn and waits; gives the latency's percentiles.",
  phases: ["call"],
  operation: "one smp_call_function_single with wait",
  options: {
    targets: {
      type: "choice",
      default: "running",
      choices: ["running", "halted"],
      help: "what the called CPUs do meanwhile",
    },
  },
  minCpus: 2,
};

export function setup(kernel: Kernel): Pointer {
  return takeScratch(kernel, 1);
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "over", shared as Pointer);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { cpu, cpus, calls } = kernel;
  const over = shared as Pointer;
  const id = emptyFunction(kernel);
  if (cpu.id !== 0) return callTarget(kernel, options.targets === "halted", over);
  const latency = new LatencyHistogram();
  kernel.phase("call", () => {
    let done = 0;
    while (kernel.more(done)) {
      const target = 1 + (done % (cpus - 1));
      const start = cpu.nowNs();
      calls.single(target, id, 0, true);
      latency.record(cpu.nowNs() - start);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  kernel.memory.store(over, 1);
  kernel.memory.wake(over);
  return { metrics: latency.metrics("round trip") };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  freeScratch(kernel, shared as Pointer, 1);
}
