/** Reads a report, and has not said so. */

import type { Kernel } from "../../../src/machine/kernel.ts";

export function run(kernel: Kernel): string {
  return kernel.proc("meminfo");
}
