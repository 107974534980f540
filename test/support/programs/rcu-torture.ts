/**
 * Readers and updaters of published elements, as in Linux's rcutorture.  An updater replaces an element, and the old one
 * is poisoned and used again after a grace period; a reader looks at an element several times in one section, with
 * interrupts taken between.  It must never see poison or another element's contents.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const SLOTS = 8;
const ELEMENT_WORDS = 16;
/** Of one CPU. */
const ELEMENTS = 256;
const HEAD = 8;
const POISON = -559038737;
const LOOKS = 4;

/** Pointers to what is published, then the elements of each CPU. */
export function setup(kernel: Kernel): number {
  const slots = kernel.pages.getFreePages(0, 8);
  kernel.memory.fill(slots, SLOTS, 0);
  return slots;
}

export function run(
  kernel: Kernel,
  options: ProgramOptions,
  shared: unknown,
): { freed: number; reads: number; periods: number } {
  const { cpu, cpus, memory, rcu, functions } = kernel;
  const slots = shared as number;
  const free: number[] = [];
  let freed = 0;
  const release = (element: number): void => {
    for (let i = 0; i < HEAD; i++) memory.write(element + i, POISON);
    free.push(element);
    freed++;
  };
  const callback = functions.register("free_element", (_cpu, head) => release(head - HEAD));
  for (let i = 0; i < ELEMENTS; i++) free.push(slots + 1024 + (cpu.id * ELEMENTS + i) * ELEMENT_WORDS);
  kernel.gate();

  const read = (looks: number): void => {
    rcu.readLock();
    const element = rcu.dereference(slots + cpu.random.below(SLOTS));
    if (element !== 0) {
      const stamp = memory.read(element);
      for (let look = 0; look < looks; look++) {
        for (let i = 0; i < HEAD; i++) {
          const seen = memory.read(element + i);
          if (seen !== stamp || seen === POISON) {
            throw new Error(`cpu ${cpu.id}: word ${i} of element ${element} is ${seen}, expected ${stamp}`);
          }
        }
        cpu.poll();
      }
    }
    rcu.readUnlock();
  };
  const update = (): void => {
    const element = free.pop();
    if (element === undefined) {
      rcu.barrier();
      return;
    }
    const stamp = cpu.random.below(1 << 30);
    for (let i = 0; i < HEAD; i++) memory.write(element + i, stamp);
    const old = memory.exchange(slots + cpu.random.below(SLOTS), element);
    if (old === 0) return;
    if (cpu.random.below(options.synchronize ? 2 : 64) === 0) {
      rcu.synchronize();
      release(old);
    } else {
      rcu.call(old + HEAD, callback);
    }
  };

  let reads = 0;
  const isHalting = options.halting === true && cpu.id === cpus - 1;
  const isLongReader = options.longReader === true && cpu.id === cpus - 1;
  for (let done = 0; kernel.more(done); done++) {
    if (isHalting) cpu.halt(50_000);
    else if (isLongReader) read(2000);
    else if (cpu.random.below(4) === 0) update();
    else read(LOOKS);
    reads++;
    cpu.endOperation();
  }
  kernel.gate();
  if (cpu.id === 0) rcu.barrier();
  kernel.gate();
  rcu.check();
  return { freed, reads, periods: rcu.completed };
}

/** No element is published twice, and none that is published is poisoned. */
export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const published = new Set<number>();
  for (let slot = 0; slot < SLOTS; slot++) {
    const element = kernel.memory.read((shared as number) + slot);
    if (element === 0) continue;
    if (published.has(element)) throw new Error(`element ${element} is published twice`);
    if (kernel.memory.read(element) === POISON)
      throw new Error(`element ${element} is published and poisoned`);
    published.add(element);
  }
}
