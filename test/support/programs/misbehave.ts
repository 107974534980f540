/** One CPU misbehaves as option `how` says, while the others work. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";

/** A word that stays 0: nothing ends a wait on it. */
export function setup(kernel: Kernel): number {
  const page = kernel.pages.getZeroedPage(0);
  kernel.spin.format(page + 32, LockClass.TEST_A);
  return page;
}

export function run(kernel: Kernel, options: ProgramOptions, word: unknown): number {
  if (options.how === "keeps-lock" && kernel.cpu.id === 0) takeWhenHeld(kernel, (word as number) + 32);
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

/** Waits until another CPU has the lock, then asks for it. */
function takeWhenHeld(kernel: Kernel, lock: number): void {
  while (kernel.memory.load(lock) === 0) kernel.cpu.endOperation();
  kernel.spin.lock(lock);
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
    case "keeps-lock":
      kernel.spin.lock(word + 32);
      for (;;) kernel.memory.load(word);
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
