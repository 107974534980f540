/**
 * Every CPU counts, in one counter of four forms: what a shared word costs, and what each way around it.
 *
 * `atomic`: one word for all.  `array`: one word a CPU, side by side as in `int counter[NR_CPUS]`, so that CPUs share
 * cache lines without sharing data.  `this-cpu`: a per-CPU variable, each on a line of its own.  `percpu`: Linux's
 * percpu_counter, which also folds its parts into a common count that can be read cheaply.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { wordsIn } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { ArrayCounters, AtomicCounters, PerCpuCounter } from "../sync/percpu-counter.ts";
import type { WorkloadDescription } from "./description.ts";
import { nameCounters } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

const FORMS = ["percpu", "this-cpu", "array", "atomic"] as const;
type Form = (typeof FORMS)[number];

export const describe: WorkloadDescription = {
  name: "percpu-counter",
  summary: "Every CPU adds to one counter: batched per-CPU, plain per-CPU, array by CPU, or shared atomic.",
  phases: ["add"],
  operation: "one addition; sixteen of them between two looks at the time",
  options: {
    form: { type: "choice", default: "percpu", choices: FORMS, help: "how the counter is kept" },
    batch: {
      type: "integer",
      default: 0,
      min: 0,
      max: 1 << 30,
      help: "percpu only: part at which a CPU folds; 0 is Linux's, the greater of 32 and 2 a CPU",
    },
  },
};

const BURST = 16;

/** A counter of any form, as one CPU sees it. */
interface Counter {
  add(at: Pointer, amount: number): void;
  sum(at: Pointer): number;
}

/** What the counter's address is: words of RAM, or for `this-cpu` a per-CPU pointer. */
export function setup(kernel: Kernel, options: ProgramOptions): Pointer {
  const form = options.form as Form;
  if (form === "this-cpu") return kernel.perCpu.alloc(4) || bug("there is no per-CPU memory for one word");
  const at = takeScratch(kernel, wordsOf(kernel));
  if (form === "percpu" && !kernel.counters.init(at, 0)) bug("there is no per-CPU memory for a counter");
  return at;
}

export function attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const at = shared as Pointer;
  const form = options.form as Form;
  if (form === "percpu") kernel.regions.add("counter", at, PerCpuCounter);
  else if (form !== "this-cpu") nameCounters(kernel, "counter", at, form === "array" ? kernel.cpus : 1);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { added: number } {
  const { cpu } = kernel;
  const at = shared as Pointer;
  const counter = counterOf(kernel, options);
  let done = 0;
  kernel.phase("add", () => {
    while (kernel.more(done)) {
      for (let i = 0; i < BURST; i++) counter.add(at, 1);
      done += BURST;
      cpu.endOperation();
    }
    return done;
  });
  return { added: done };
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const at = shared as Pointer;
  const form = options.form as Form;
  const added = values.reduce((sum: number, value) => sum + (value as { added: number }).added, 0);
  const found = counterOf(kernel, options).sum(at);
  // All forms but percpu count in words, which wrap.
  const differ = form === "percpu" ? found !== added : (found | 0) !== (added | 0);
  if (differ) bug(`${form}: the counter says ${found}, ${added} were added`);
  if (form === "this-cpu") return kernel.perCpu.free(at);
  if (form === "percpu") kernel.counters.destroy(at);
  freeScratch(kernel, at, wordsOf(kernel));
}

function counterOf(kernel: Kernel, options: ProgramOptions): Counter {
  switch (options.form as Form) {
    case "percpu":
      return new BatchedCounter(kernel, options.batch as number);
    case "this-cpu":
      return new ThisCpuCounter(kernel);
    case "array":
      return new ArrayCounters(kernel.memory, kernel.cpu.id, kernel.cpus);
    case "atomic":
      return new AtomicCounters(kernel.memory);
  }
}

class BatchedCounter implements Counter {
  private readonly counters: Kernel["counters"];
  private readonly batch: number;

  constructor(kernel: Kernel, batch: number) {
    this.counters = kernel.counters;
    this.batch = batch === 0 ? kernel.counters.batch : batch;
  }

  add(at: Pointer, amount: number): void {
    this.counters.add(at, amount, this.batch);
  }

  sum(at: Pointer): number {
    return this.counters.sum(at);
  }
}

class ThisCpuCounter implements Counter {
  private readonly perCpu: Kernel["perCpu"];

  constructor(kernel: Kernel) {
    this.perCpu = kernel.perCpu;
  }

  add(at: Pointer, amount: number): void {
    this.perCpu.add(at, amount);
  }

  sum(at: Pointer): number {
    return this.perCpu.sum(at) | 0;
  }
}

const wordsOf = (kernel: Kernel): number => Math.max(wordsIn(PerCpuCounter), kernel.cpus);
