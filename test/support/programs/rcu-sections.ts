/**
 * CPU 0 replaces an element `sections` times, and poisons the old one after a grace period; the others look at the
 * element twice in one section, with interrupts taken between.  With `calls`, the old one is poisoned by a callback, every
 * CPU queues callbacks, and all wait for all callbacks at the end.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const ELEMENTS = 64;
const ELEMENT_WORDS = 16;
const HEAD = 2;
const POISON = -1;
const FREED = 32;
const EACH = 8;

export function setup({ pages, memory }: Kernel): number {
  const at = pages.getZeroedPage(0);
  memory.write(at + ELEMENTS, 1);
  memory.store(at, at + ELEMENTS);
  return at;
}

export function attach({ functions, memory }: Kernel, _options: ProgramOptions, shared: unknown): number {
  return functions.register("poison", (_cpu, head) => {
    memory.write(head - HEAD, POISON);
    memory.add((shared as number) + FREED, 1);
  });
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown, poison: unknown): void {
  const { cpu, memory, rcu } = kernel;
  const at = shared as number;
  const own = at + ELEMENTS + ELEMENT_WORDS * (1 + EACH * cpu.id);
  for (let i = 0; i < Number(options.sections); i++) {
    const next = own + i * ELEMENT_WORDS;
    if (cpu.id === 0) {
      memory.write(next, i + 2);
      const old = memory.load(at);
      rcu.assign(at, next);
      if (options.calls) {
        rcu.call(old + HEAD, poison as number);
      } else {
        rcu.synchronize();
        memory.write(old, POISON);
      }
    } else {
      rcu.readLock();
      const element = rcu.dereference(at);
      const first = memory.read(element);
      cpu.poll();
      const second = memory.read(element);
      rcu.readUnlock();
      if (first < 1 || second !== first) throw new Error(`cpu ${cpu.id}: saw ${first}, then ${second}`);
      if (options.calls) rcu.call(next + HEAD, poison as number);
    }
    cpu.endOperation();
  }
  if (!options.calls) return;
  rcu.barrier();
  const own0 = cpu.id === 0 ? 0 : own;
  for (let i = 0; i < Number(options.sections); i++) {
    if (own0 !== 0 && memory.read(own0 + i * ELEMENT_WORDS) !== POISON)
      throw new Error(`cpu ${cpu.id}: rcu_barrier returned before callback ${i} had run`);
  }
}

export function check(
  { memory, rcu, cpus }: Kernel,
  options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const freed = memory.read((shared as number) + FREED);
  const expected = options.calls ? cpus * Number(options.sections) : 0;
  if (freed !== expected) throw new Error(`${freed} callbacks ran, ${expected} were queued`);
  rcu.check();
}
