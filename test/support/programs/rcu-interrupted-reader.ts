/**
 * CPU 1 stays inside one read section, answering interrupts, for `holdMs` after CPU 0 has begun to wait for a grace
 * period.  CPU 0 poisons the element when the grace period has ended; the reader must not see it.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const ELEMENT = 64;
const INSIDE = 128;
const WAITS = 192;

/** The pointer; the element and two flags follow on lines of their own. */
export function setup(kernel: Kernel): number {
  const pointer = kernel.pages.getZeroedPage(0);
  kernel.memory.store(pointer, pointer + ELEMENT);
  kernel.memory.write(pointer + ELEMENT, 1);
  return pointer;
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const { cpu, memory, rcu } = kernel;
  const pointer = shared as number;
  if (cpu.id === 0) {
    memory.waitWhile(pointer + INSIDE, -1, 0);
    memory.store(pointer, 0);
    memory.store(pointer + WAITS, 1);
    rcu.synchronize();
    memory.store(pointer + ELEMENT, 2);
  } else {
    rcu.readLock();
    const element = rcu.dereference(pointer);
    memory.store(pointer + INSIDE, 1);
    memory.wake(pointer + INSIDE);
    let endNs = Infinity;
    while (cpu.nowNs() < endNs) {
      cpu.poll();
      if (endNs === Infinity && memory.load(pointer + WAITS) === 1)
        endNs = cpu.nowNs() + Number(options.holdMs) * 1e6;
      if (memory.load(element) !== 1)
        throw new Error(`cpu ${cpu.id}: the element was poisoned inside the section`);
    }
    rcu.readUnlock();
  }
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  if (kernel.memory.read((shared as number) + ELEMENT) !== 2)
    throw new Error("the grace period has not ended");
}
