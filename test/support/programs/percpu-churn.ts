/**
 * Every CPU allocates and frees per-CPU memory of random sizes, stamps its pieces on all CPUs and looks whether the stamps
 * stay; between, it adds to one counter of each form.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { checkPerCpu } from "../../../src/mm/percpu/check-percpu.ts";
import { ArrayCounters, AtomicCounters } from "../../../src/sync/percpu-counter.ts";

const ARRAY = 16;
const ATOMIC = 512;
const HELD = 8;

/** The batched counter; the other two follow it. */
export function setup(kernel: Kernel): number {
  const at = kernel.pages.getZeroedPage(0);
  if (!kernel.counters.init(at, 0)) throw new Error("no per-CPU memory for a counter");
  return at;
}

interface Piece {
  pointer: number;
  words: number;
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, cpus, memory, perCpu, counters } = kernel;
  const at = shared as number;
  const array = new ArrayCounters(memory, cpu.id, cpus);
  const atomic = new AtomicCounters(memory);
  const pieces: Piece[] = [];
  let total = 0;

  const stamp = ({ pointer, words }: Piece): void => {
    for (let other = 0; other < cpus; other++) {
      for (let i = 0; i < words; i++) {
        const word = perCpu.of(pointer, other) + i;
        if (memory.read(word) !== 0) throw new Error(`cpu ${cpu.id}: a new piece holds ${memory.read(word)}`);
        memory.write(word, pointer + cpu.id);
      }
    }
  };
  const release = ({ pointer, words }: Piece): void => {
    for (let other = 0; other < cpus; other++) {
      for (let i = 0; i < words; i++) {
        const seen = memory.read(perCpu.of(pointer, other) + i);
        if (seen !== pointer + cpu.id)
          throw new Error(`cpu ${cpu.id}: piece ${pointer} was overwritten with ${seen}`);
      }
    }
    perCpu.free(pointer);
  };

  for (let done = 0; kernel.more(done); done++) {
    const amount = cpu.random.below(41) - 15;
    total += amount;
    counters.add(at, amount);
    array.add(at + ARRAY, amount);
    atomic.add(at + ATOMIC, amount);
    if (cpu.random.below(8) === 0) {
      if (pieces.length === HELD) release(pieces.splice(cpu.random.below(HELD), 1)[0]);
      const sizeBytes = 4 + cpu.random.below(120);
      const pointer = perCpu.alloc(sizeBytes, 4 << cpu.random.below(4));
      if (pointer !== 0) {
        const piece = { pointer, words: Math.ceil(sizeBytes / 4) };
        stamp(piece);
        pieces.push(piece);
      }
    }
    cpu.endOperation();
  }
  for (const piece of pieces) release(piece);
  return total;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { counters, perCpu, perCpuChunks, cpus, memory } = kernel;
  const at = shared as number;
  const expected = values.reduce((sum: number, v) => sum + (v as number), 0);
  const found = {
    batched: counters.sum(at),
    array: new ArrayCounters(memory, 0, cpus).sum(at + ARRAY),
    atomic: new AtomicCounters(memory).sum(at + ATOMIC),
  };
  for (const [form, sum] of Object.entries(found)) {
    if (sum !== expected) throw new Error(`the ${form} counter is ${sum}, the CPUs added ${expected}`);
  }
  if (Math.abs(counters.read(at) - expected) >= counters.batch * cpus)
    throw new Error(`the rough count ${counters.read(at)} is too far from ${expected}`);
  counters.check(at);
  checkPerCpu(perCpuChunks, memory);
  const { current } = perCpu.stats();
  if (current !== 1) throw new Error(`${current} pieces are out, 1 is held`);
}
