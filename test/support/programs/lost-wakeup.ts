/**
 * CPU 0 waits for an event that CPU 1 makes true just after CPU 0 has looked in vain for the second time.  By then a
 * sound waiter is queued, and the wake-up finds it.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const EVENT = 32;
const ASKED = 64;
const ANSWERED = 96;

export function setup(kernel: Kernel): number {
  const queue = kernel.pages.getZeroedPage(0);
  kernel.waitQueues.format(queue);
  return queue;
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  const { cpu, memory, waitQueues } = kernel;
  const queue = shared as number;
  if (cpu.id === 0) {
    let looks = 0;
    waitQueues.waitEvent(queue, () => {
      const holds = memory.load(queue + EVENT) === 1;
      if (++looks === 2) {
        memory.store(queue + ASKED, 1);
        memory.wake(queue + ASKED);
        memory.waitWhile(queue + ANSWERED, -1, 0);
      }
      return holds;
    });
  } else {
    memory.waitWhile(queue + ASKED, -1, 0);
    memory.store(queue + EVENT, 1);
    waitQueues.wake(queue);
    memory.store(queue + ANSWERED, 1);
    memory.wake(queue + ANSWERED);
  }
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  kernel.waitQueues.check(shared as number);
}
