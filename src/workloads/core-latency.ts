/**
 * How long a cache line takes from one core to another: the matrix behind `smpsim proc core-latency`.
 *
 * Each pair of CPUs in turn passes one word of RAM back and forth by marked stores, while all others sleep at a gate.
 * Half of a round trip is one transfer.  The figure of a pair is the median of its batches, so a preemption does not
 * show.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import type { Metric, WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "core-latency",
  summary: "Transfer time of a cache line between each pair of CPUs; gives the matrix.",
  phases: ["ping-pong"],
  operation: "one round trip of a word between two CPUs, counted by both",
  options: {
    trips: { type: "integer", default: 200, min: 1, max: 1_000_000, help: "round trips in a batch" },
    batches: { type: "integer", default: 11, min: 1, max: 10_000, help: "batches of a pair in a round" },
  },
  minCpus: 2,
};

/** One CPU's row of the matrix. */
interface Row {
  /** One-way time to each CPU, ns; 0 to itself. */
  readonly latencyNs: readonly number[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

/** Looks at the word before the waiter goes the long way, which lets other CPUs run; one CPU at a time needs none. */
const LOOKS = shape.mode === "parallel" ? 20_000 : 0;
const EVERY_BIT = -1;

export function setup(kernel: Kernel): Pointer {
  return takeScratch(kernel, 1);
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "passed_word", shared as Pointer);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): Row {
  const { cpu, memory, cpus } = kernel;
  const [trips, batches] = [options.trips as number, options.batches as number];
  const pair = new Pair(cpu, memory, shared as Pointer);
  const samples: number[][] = Array.from({ length: cpus }, () => []);
  kernel.phase("ping-pong", () => {
    let done = 0;
    do {
      for (let a = 0; a < cpus; a++) {
        for (let b = a + 1; b < cpus; b++) {
          if (cpu.id === a || cpu.id === b) {
            const other = cpu.id === a ? b : a;
            for (let batch = 0; batch <= batches; batch++) {
              const ns = pair.batch(trips, cpu.id === a);
              // The first batch brings the two together.
              if (batch > 0) samples[other].push(ns);
            }
            done += (batches + 1) * trips;
            cpu.endOperation();
          }
          kernel.gate();
        }
      }
    } while (kernel.anotherRound(done));
    return done;
  });
  const latencyNs = samples.map((of) => (of.length === 0 ? 0 : median(of)));
  const others = latencyNs.filter((_, other) => other !== cpu.id);
  return {
    latencyNs,
    metrics: {
      "one-way min": { value: Math.min(...others), unit: "ns" },
      "one-way median": { value: median(others), unit: "ns" },
    },
  };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  freeScratch(kernel, shared as Pointer, 1);
}

/** Two CPUs over one word, which counts the transfers. */
class Pair {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly word: Pointer;

  constructor(cpu: Cpu, memory: Memory, word: Pointer) {
    this.cpu = cpu;
    this.memory = memory;
    this.word = word;
  }

  /** Plays `trips` round trips with the other CPU; returns the time of one transfer.  The word is 0 before and after. */
  batch(trips: number, serves: boolean): number {
    const { cpu, word } = this;
    const start = cpu.nowNs();
    if (serves) {
      for (let trip = 1; trip <= trips; trip++) {
        this.store(2 * trip - 1);
        this.waitFor(2 * trip);
      }
      this.store(0);
    } else {
      for (let trip = 1; trip <= trips; trip++) {
        this.waitFor(2 * trip - 1);
        this.store(2 * trip);
      }
      this.memory.waitWhile(word, EVERY_BIT, 2 * trips);
    }
    return (cpu.nowNs() - start) / (2 * trips);
  }

  private store(value: number): void {
    this.memory.store(this.word, value);
    this.memory.wake(this.word);
  }

  private waitFor(value: number): void {
    const { memory, word } = this;
    for (let look = 0; look < LOOKS; look++) if (memory.load(word) === value) return;
    memory.waitWhile(word, EVERY_BIT, value - 1);
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
