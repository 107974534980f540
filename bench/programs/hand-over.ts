/** Simulated time: each step of a CPU takes as long as the others', so each gives the turn away. */

import type { Kernel } from "../../src/machine/kernel.ts";

export function run(kernel: Kernel): null {
  const { cpu } = kernel;
  kernel.phase("hand-over", () => {
    let done = 0;
    while (kernel.more(done)) {
      cpu.turn.relax();
      done++;
    }
    return done;
  });
  return null;
}
