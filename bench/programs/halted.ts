/** Every CPU halts, and looks once a second whether the time is up. */
import type { Kernel } from "../../src/machine/kernel.ts";

export function run(kernel: Kernel): void {
  while (kernel.more(0)) kernel.cpu.halt(1e9);
}
