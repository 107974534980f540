/** One CPU takes and gives back a lock that nobody else wants.  An operation is a pair. */
import type { Kernel } from "../../src/machine/kernel.ts";

const TEST_A = 40;
const GFP_KERNEL_ZERO = 0xcc0 | 0x100;
/** Pairs between two looks at the time. */
const BATCH = 64;

export const setup = (kernel: Kernel): number => kernel.pages.getFreePages(GFP_KERNEL_ZERO, 0);

export function run(kernel: Kernel, _options: unknown, shared: unknown): void {
  const { cpu, spin } = kernel;
  const lock = shared as number;
  spin.format(lock, TEST_A);
  kernel.phase("pairs", () => {
    let done = 0;
    while (kernel.more(done)) {
      for (let i = 0; i < BATCH; i++) {
        spin.lock(lock);
        spin.unlock(lock);
      }
      done += BATCH;
      cpu.endOperation();
    }
    return done;
  });
}

export function check(kernel: Kernel, _options: unknown, _values: unknown, shared: unknown): void {
  kernel.pages.freePagesAt(shared as number, 0);
}
