/**
 * The kernel as one CPU sees it: an explicit object per worker, given to every kernel module.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Memory } from "../memory/memory.ts";
import type { Regions } from "../memory/regions.ts";

export interface Kernel {
  readonly cpu: Cpu;
  readonly memory: Memory;
  /** Names addresses, for reports. */
  readonly regions: Regions;
}
