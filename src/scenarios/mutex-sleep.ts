/** CPUs take a mutex and sleep for it: one that is about to sleep must not miss that the mutex has come free. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { LockClass } from "../sync/lock-class.ts";
import { checkMutex, Mutex } from "../sync/mutex.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "mutex-sleep",
  summary: "CPUs sleep for a mutex; a waiter tries once more before it sleeps",
  cpus: 3,
  minCpus: 2,
  mutants: ["mutex-sleeps-untried"],
};

const Guarded = struct("guarded", { mutex: embed(Mutex, "atomic"), value: word("lock:mutex", "counter") });
const guarded = Guarded;
const TIMES = 3;

export function setup({ pages, mutexes }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  mutexes.format(at + guarded.mutex, LockClass.TEST_A);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("guarded", at, Guarded);
}

export function run({ mutexes, memory, cpu }: Kernel, _options: object, at: Pointer): void {
  for (let i = 0; i < TIMES; i++) {
    mutexes.lock(at + guarded.mutex);
    memory.write(at + guarded.value, memory.read(at + guarded.value) + 1);
    mutexes.unlock(at + guarded.mutex);
    cpu.endOperation();
  }
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  checkMutex(memory, at + guarded.mutex);
  const value = memory.read(at + guarded.value);
  if (value !== TIMES * cpus) bug(`the guarded value is ${value}, ${cpus} CPUs added ${TIMES * cpus}`);
}
