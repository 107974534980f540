/** Every CPU adds to one word of RAM a few times: atomically, or (option `torn`) with a plain read and write. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const WORD = 4096;
const TIMES = 4;

export function run(kernel: Kernel, options: ProgramOptions): void {
  const { memory, cpu } = kernel;
  for (let i = 0; i < TIMES; i++) {
    if (options.torn) memory.write(WORD, memory.read(WORD) + 1);
    else memory.add(WORD, 1);
    cpu.endOperation();
  }
}

export function check(kernel: Kernel): void {
  const expected = TIMES * kernel.cpus;
  const found = kernel.memory.read(WORD);
  if (found !== expected) throw new Error(`counter is ${found}, the CPUs added ${expected}`);
}
