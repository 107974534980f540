/**
 * How long a function call on all CPUs takes: the wait of a TLB shootdown or of a drain of all page lists.
 *
 * CPU 0 calls; the others work through operations, or wait for the end of the run and halt.
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
  name: "ipi-broadcast",
  summary: "CPU 0 calls an empty function on all CPUs at once and waits; gives the latency's percentiles.",
  phases: ["broadcast"],
  operation: "one on_each_cpu with wait",
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
  const { cpu, calls } = kernel;
  const over = shared as Pointer;
  const id = emptyFunction(kernel);
  if (cpu.id !== 0) return callTarget(kernel, options.targets === "halted", over);
  const latency = new LatencyHistogram();
  kernel.phase("broadcast", () => {
    let done = 0;
    while (kernel.more(done)) {
      const start = cpu.nowNs();
      calls.onEach(id, 0, true);
      latency.record(cpu.nowNs() - start);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  kernel.memory.store(over, 1);
  kernel.memory.wake(over);
  return { metrics: latency.metrics("broadcast") };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  freeScratch(kernel, shared as Pointer, 1);
}
