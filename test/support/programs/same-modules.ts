/**
 * A program that imports values of the library: they must be those that the kernel is made of, not others of the same name.
 */

import type { Kernel } from "../../../src/machine/kernel.ts";
import { KernelBug } from "../../../src/memory/bug.ts";
import { shape } from "../../../src/memory/shape.ts";
import { SlabCaches } from "../../../src/mm/slab/slab-caches.ts";
import { Rcu } from "../../../src/sync/rcu.ts";

export function run(kernel: Kernel): unknown {
  let thrown: unknown = null;
  try {
    kernel.cpu.installHooks({} as Parameters<typeof kernel.cpu.installHooks>[0]);
  } catch (error) {
    thrown = error;
  }
  return [
    kernel.slabs instanceof SlabCaches,
    kernel.rcu instanceof Rcu,
    thrown instanceof KernelBug,
    shape.lock,
  ];
}
