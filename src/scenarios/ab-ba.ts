/** Two locks, taken by every CPU in the same order; the mutant `ab-ba-swapped` lets odd CPUs take them the other way. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { LockClass } from "../sync/lock-class.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "ab-ba",
  summary: "two locks in one order; taken in opposite orders, they deadlock",
  cpus: 2,
  mutants: ["ab-ba-swapped"],
};

const Accounts = struct("accounts", {
  a: embed(SpinLock, "atomic"),
  b: embed(SpinLock, "atomic"),
  moved: word("lock:a", "counter"),
});
const accounts = Accounts;
const swapped = mutant("ab-ba-swapped");
const TIMES = 2;

export function setup({ pages, spin }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  spin.format(at + accounts.a, LockClass.TEST_A);
  spin.format(at + accounts.b, LockClass.TEST_B);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("accounts", at, Accounts);
}

export function run({ spin, memory, cpu }: Kernel, _options: object, at: Pointer): void {
  reached("ab-ba-swapped");
  const isOdd = (cpu.id & 1) !== 0;
  const [first, second] = swapped && isOdd ? [accounts.b, accounts.a] : ([accounts.a, accounts.b] as const);
  for (let i = 0; i < TIMES; i++) {
    spin.lock(at + first);
    spin.lock(at + second);
    memory.write(at + accounts.moved, memory.read(at + accounts.moved) + 1);
    spin.unlock(at + second);
    spin.unlock(at + first);
    cpu.endOperation();
  }
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const moved = memory.read(at + accounts.moved);
  if (moved !== TIMES * cpus) bug(`moved is ${moved}, ${cpus} CPUs did ${TIMES * cpus}`);
}
