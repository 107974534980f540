/**
 * Lost update: every CPU adds to one counter.  With the mutant `lost-update-torn` the addition is a read and a write,
 * and what another CPU adds between them is lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "lost-update",
  summary: "every CPU adds to one counter; no addition may be lost",
  cpus: 2,
  mutants: ["lost-update-torn"],
};

const Counter = struct("shared_counter", { value: word("atomic", "counter") });
const counter = Counter;
const torn = mutant("lost-update-torn");
const TIMES = 4;

export function setup(kernel: Kernel): Pointer {
  return kernel.pages.getZeroedPage(Gfp.KERNEL);
}

export function attach(kernel: Kernel, _options: object, at: Pointer): void {
  kernel.regions.add("counter", at, Counter);
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  const { memory, cpu } = kernel;
  for (let i = 0; i < TIMES; i++) {
    reached("lost-update-torn");
    if (torn) memory.write(at + counter.value, memory.read(at + counter.value) + 1);
    else memory.add(at + counter.value, 1);
    cpu.endOperation();
  }
}

export function check(kernel: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const expected = TIMES * kernel.cpus;
  const found = kernel.memory.read(at + counter.value);
  if (found !== expected) bug(`counter is ${found}, ${kernel.cpus} CPUs added ${expected}`);
}
