/** One CPU misbehaves as option `how` says, while the others work. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

/** A word that stays 0: nothing ends a wait on it. */
export function setup(kernel: Kernel): number {
  return kernel.pages.getZeroedPage(0);
}

export function run(kernel: Kernel, options: ProgramOptions, word: unknown): number {
  let done = 0;
  if (kernel.cpu.id === kernel.cpus - 1) misbehave(kernel, String(options.how), word as number);
  while (kernel.more(done)) {
    kernel.memory.add((word as number) + 16, 1);
    done++;
    kernel.cpu.endOperation();
  }
  return done;
}

export function check(_kernel: Kernel, options: ProgramOptions): void {
  if (options.how === "check") throw new Error("the oracle says no");
}

function misbehave(kernel: Kernel, how: string, word: number): void {
  switch (how) {
    case "throw":
      throw new TypeError("planted exception");
    case "exit":
      process.exit(7);
      break;
    case "heap": {
      const kept: number[][] = [];
      for (;;) kept.push(new Array(100_000).fill(kept.length));
    }
    case "loop":
      for (;;) kernel.memory.load(word);
    case "deaf":
      for (;;) kernel.cpu.endOperation();
    case "sleep":
      kernel.memory.waitWhile(word, -1, 0);
      break;
    case "held":
      kernel.cpu.preemptDisable();
      break;
    case "atomic":
      kernel.cpu.preemptDisable();
      kernel.cpu.mightSleep("misbehave.ts");
      break;
    default:
      break;
  }
}
