/** A program that no two runs of are alike: it asks the host, which no kernel module may. */
import type { Kernel } from "../../../src/machine/kernel.ts";

export function run(kernel: Kernel): number {
  const hostNs = Math.round(performance.now() * 1e6);
  kernel.phase("work", () => {
    kernel.memory.work(0, 1 + (hostNs % 100_000));
    return 1;
  });
  return hostNs;
}
