/** Every CPU adds to one word of RAM a few times: atomically, or (option `torn`) with a plain read and write. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const TIMES = 4;

export function setup(kernel: Kernel): number {
  return kernel.pages.getZeroedPage(0);
}

export function run(kernel: Kernel, options: ProgramOptions, word: unknown): void {
  const { memory, cpu } = kernel;
  const at = word as number;
  for (let i = 0; i < TIMES; i++) {
    if (options.torn) memory.write(at, memory.read(at) + 1);
    else memory.add(at, 1);
    cpu.endOperation();
  }
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  word: unknown,
): void {
  const expected = TIMES * kernel.cpus;
  const found = kernel.memory.read(word as number);
  if (found !== expected) throw new Error(`counter is ${found}, the CPUs added ${expected}`);
}
