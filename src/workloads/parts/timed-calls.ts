/** What the workloads that time calls on other CPUs share: CPU 0 calls, the others are called until it has ended. */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import type { Pointer } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import type { MetricsValue, WorkloadDescription } from "../description.ts";
import { callTarget, emptyFunction } from "./call-target.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { nameWords } from "./named.ts";
import { freeScratch, takeScratch } from "./scratch.ts";

export const CALL_OPTIONS: WorkloadDescription["options"] = {
  targets: {
    type: "choice",
    default: "running",
    choices: ["running", "halted"],
    help: "what the called CPUs do meanwhile",
  },
};

/** The word that says that CPU 0 has ended. */
export function setup(kernel: Kernel): Pointer {
  return takeScratch(kernel, 1);
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "over", shared as Pointer);
}

/** Times `call(id, done)` of the function `id`, which does nothing, on CPU 0; elsewhere answers. */
export function timeCalls(
  kernel: Kernel,
  options: ProgramOptions,
  over: Pointer,
  names: { readonly phase: string; readonly metric: string },
  call: (id: FunctionId, done: number) => void,
): MetricsValue | null {
  const { cpu } = kernel;
  const id = emptyFunction(kernel);
  if (cpu.id !== 0) return callTarget(kernel, options.targets === "halted", over);
  const latency = new LatencyHistogram();
  kernel.phase(names.phase, () => {
    let done = 0;
    while (kernel.more(done)) {
      const start = cpu.nowNs();
      call(id, done);
      latency.record(cpu.nowNs() - start);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  kernel.memory.store(over, 1);
  kernel.memory.wake(over);
  return { metrics: latency.metrics(names.metric) };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  freeScratch(kernel, shared as Pointer, 1);
}
