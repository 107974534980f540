/**
 * Every CPU adds to one word of RAM: atomically, or (option `torn`) with a plain read and write.  The first of these meet,
 * so that two CPUs lose a count for certain.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

/** Allocates the frame whose first word is the counter. */
export function setup(kernel: Kernel): number {
  return kernel.pages.getZeroedPage(0);
}

export function run(kernel: Kernel, options: ProgramOptions, word: unknown): number {
  const { memory, cpu } = kernel;
  const at = word as number;
  let done = 0;
  kernel.phase("count", () => {
    if (options.torn) {
      const before = memory.read(at);
      kernel.gate();
      memory.write(at, before + 1);
      done++;
    }
    while (kernel.more(done)) {
      if (options.torn) memory.write(at, memory.read(at) + 1);
      else memory.add(at, 1);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  return done;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  word: unknown,
): void {
  const expected = values.reduce((sum: number, v) => sum + (v as number), 0);
  const found = kernel.memory.read(word as number);
  if (found !== expected) throw new Error(`counter is ${found}, the CPUs added ${expected}`);
  kernel.pages.freePagesAt(word as number, 0);
}
