/** One CPU misbehaves as option `how` says, while the others work. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

export function run(kernel: Kernel, options: ProgramOptions): number {
  let done = 0;
  if (kernel.cpu.id === kernel.cpus - 1) misbehave(kernel, String(options.how));
  while (kernel.more(done)) {
    kernel.memory.add(4096, 1);
    done++;
    kernel.cpu.endOperation();
  }
  return done;
}

export function check(_kernel: Kernel, options: ProgramOptions): void {
  if (options.how === "check") throw new Error("the oracle says no");
}

function misbehave(kernel: Kernel, how: string): void {
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
      for (;;) kernel.memory.load(4096);
    case "deaf":
      for (;;) kernel.cpu.endOperation();
    case "sleep":
      kernel.memory.waitWhile(8192, -1, 0);
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
