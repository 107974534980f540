/**
 * Per-CPU memory at random: pieces of any size are allocated and freed by all CPUs, stamped in every CPU's instance, and
 * a counter is kept meanwhile.  What is given out is zero and nobody else's.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { wordsIn } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import type { PerCpuPointer } from "../sync/percpu.ts";
import { PerCpuCounter } from "../sync/percpu-counter.ts";
import type { WorkloadDescription } from "./description.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "percpu-stress",
  summary: "Per-CPU pieces of random sizes are allocated, stamped on every CPU, verified and freed.",
  phases: ["stress"],
  operation: "one piece allocated or freed, or one addition to a counter",
  options: {
    pieces: { type: "integer", default: 24, min: 1, max: 1000, help: "pieces that a CPU holds at most" },
    size: { type: "integer", default: 128, min: 4, max: 1024, help: "bytes of a piece at most" },
  },
  stress: true,
};

interface Shared {
  readonly counter: Pointer;
  /** Pieces that were out before. */
  readonly out: number;
}

export function setup(kernel: Kernel): Shared {
  const out = kernel.perCpu.stats().current;
  const counter = takeScratch(kernel, wordsIn(PerCpuCounter));
  if (!kernel.counters.init(counter, 0)) bug("there is no per-CPU memory for a counter");
  return { counter, out };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  kernel.regions.add("counter", (shared as Shared).counter, PerCpuCounter);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { added: number } {
  const { cpu, counters } = kernel;
  const { counter } = shared as Shared;
  const pieces = new Pieces(kernel, options);
  let added = 0;
  kernel.phase("stress", () => {
    let done = 0;
    while (kernel.more(done)) {
      const what = cpu.random.below(4);
      if (what === 0) pieces.alloc();
      else if (what === 1) pieces.freeOne();
      else {
        const amount = cpu.random.below(200) - 100;
        counters.add(counter, amount);
        added += amount;
      }
      done++;
      cpu.endOperation();
    }
    return done;
  });
  pieces.freeAll();
  return { added };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { counters, perCpu, perCpuChunks, memory } = kernel;
  const { counter, out } = shared as Shared;
  const added = values.reduce((sum: number, value) => sum + (value as { added: number }).added, 0);
  const found = counters.sum(counter);
  if (found !== added) bug(`the counter says ${found}, ${added} were added`);
  counters.check(counter);
  counters.destroy(counter);
  freeScratch(kernel, counter, wordsIn(PerCpuCounter));
  checkPerCpu(perCpuChunks, memory);
  const left = perCpu.stats().current;
  if (left !== out) bug(`${left} pieces of per-CPU memory are out after the run, ${out} were before it`);
}

/** The pieces that one CPU holds. */
class Pieces {
  private readonly kernel: Kernel;
  private readonly limit: number;
  private readonly maxWords: number;
  private readonly held: PerCpuPointer[] = [];
  private readonly words: number[] = [];
  private readonly stamps: number[] = [];

  constructor(kernel: Kernel, options: ProgramOptions) {
    this.kernel = kernel;
    this.limit = options.pieces as number;
    this.maxWords = (options.size as number) >> 2;
  }

  /** Takes a piece if there is one, which must be zero, and stamps it on every CPU. */
  alloc(): void {
    const { cpu, perCpu } = this.kernel;
    if (this.held.length >= this.limit) return this.freeOne();
    const words = 1 + cpu.random.below(this.maxWords);
    const piece = perCpu.alloc(words * 4, 4 << cpu.random.below(4));
    if (piece === 0) return;
    const stamp = cpu.random.next() | 1;
    this.replace(piece, words, 0, stamp);
    this.held.push(piece);
    this.words.push(words);
    this.stamps.push(stamp);
  }

  freeOne(): void {
    const { cpu, perCpu } = this.kernel;
    const { held, words, stamps } = this;
    if (held.length === 0) return;
    const i = cpu.random.below(held.length);
    const piece = held[i];
    this.replace(piece, words[i], stamps[i], 0);
    perCpu.free(piece);
    held[i] = held[held.length - 1];
    words[i] = words[words.length - 1];
    stamps[i] = stamps[stamps.length - 1];
    held.pop();
    words.pop();
    stamps.pop();
  }

  freeAll(): void {
    while (this.held.length > 0) this.freeOne();
  }

  /** Finds `expected` in every word of every CPU's instance, and writes `stamp`. */
  private replace(piece: PerCpuPointer, words: number, expected: number, stamp: number): void {
    const { cpus, memory, perCpu } = this.kernel;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const instance = perCpu.of(piece, cpu);
      for (let word = instance; word < instance + words; word++) {
        const found = memory.read(word) | 0;
        if (found !== (expected | 0)) {
          bug(
            `per-CPU piece ${piece} of ${words} words: cpu ${cpu} has 0x${(found >>> 0).toString(16)} in word ` +
              `${word - instance}, expected 0x${(expected >>> 0).toString(16)}`,
          );
        }
        memory.write(word, stamp);
      }
    }
  }
}
