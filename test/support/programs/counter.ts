/** Every CPU adds to one word of RAM: atomically, or (option `torn`) with a plain read and write. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const WORD = 4096;

export function setup(kernel: Kernel): null {
  kernel.memory.write(WORD, 0);
  return null;
}

export function run(kernel: Kernel, options: ProgramOptions): number {
  const { memory, cpu } = kernel;
  let done = 0;
  kernel.phase("count", () => {
    while (kernel.more(done)) {
      if (options.torn) memory.write(WORD, memory.read(WORD) + 1);
      else memory.add(WORD, 1);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  return done;
}

export function check(kernel: Kernel, _options: ProgramOptions, values: readonly unknown[]): void {
  const expected = values.reduce((sum: number, v) => sum + (v as number), 0);
  const found = kernel.memory.read(WORD);
  if (found !== expected) throw new Error(`counter is ${found}, the CPUs added ${expected}`);
}
