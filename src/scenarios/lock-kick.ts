/** CPUs queue for one spinlock: whoever unlocks it must wake the next. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { LockClass } from "../sync/lock-class.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "lock-kick",
  summary: "CPUs queue for a spinlock; each unlock must wake the one whose turn it is",
  cpus: 3,
  minCpus: 2,
  mutants: ["pv-forgets-kick"],
};

const Guarded = struct("guarded", { lock: embed(SpinLock, "atomic"), value: word("lock:lock", "counter") });
const guarded = Guarded;
const TIMES = 3;

export function setup({ pages, spin }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  spin.format(at + guarded.lock, LockClass.TEST_A);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("guarded", at, Guarded);
}

export function run({ spin, memory, cpu }: Kernel, _options: object, at: Pointer): void {
  for (let i = 0; i < TIMES; i++) {
    spin.lock(at + guarded.lock);
    memory.write(at + guarded.value, memory.read(at + guarded.value) + 1);
    spin.unlock(at + guarded.lock);
    cpu.endOperation();
  }
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const value = memory.read(at + guarded.value);
  if (value !== TIMES * cpus) bug(`the guarded value is ${value}, ${cpus} CPUs added ${TIMES * cpus}`);
}
