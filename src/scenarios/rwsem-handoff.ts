/** Readers and writers sleep for a read-write semaphore: whom a release wakes must be let in alone, or with readers. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { LockClass } from "../sync/lock-class.ts";
import { checkRwsem, RwSemaphore } from "../sync/rwsem.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "rwsem-handoff",
  summary: "readers and writers sleep for a semaphore; whoever is woken must own it",
  cpus: 3,
  mutants: ["rwsem-grants-blindly"],
};

const Guarded = struct("guarded", {
  sem: embed(RwSemaphore, "atomic"),
  value: word("lock:sem", "counter"),
  writers: word("atomic", "counter"),
});
const guarded = Guarded;
const TIMES = 2;

export function setup({ pages, rwsems }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  rwsems.format(at + guarded.sem, LockClass.TEST_A);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("guarded", at, Guarded);
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  for (let i = 0; i < TIMES; i++) {
    if (kernel.cpu.id === 0) look(kernel, at);
    else change(kernel, at);
    kernel.cpu.endOperation();
  }
}

function look({ memory, rwsems }: Kernel, at: Pointer): void {
  rwsems.readLock(at + guarded.sem);
  const writers = memory.load(at + guarded.writers);
  if (writers !== 0) bug(`a reader is inside with ${writers} writers`);
  rwsems.readUnlock(at + guarded.sem);
}

function change({ memory, rwsems }: Kernel, at: Pointer): void {
  rwsems.writeLock(at + guarded.sem);
  const others = memory.add(at + guarded.writers, 1);
  if (others !== 0) bug(`a writer is inside with ${others} others`);
  memory.write(at + guarded.value, memory.read(at + guarded.value) + 1);
  memory.add(at + guarded.writers, -1);
  rwsems.writeUnlock(at + guarded.sem);
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  checkRwsem(memory, at + guarded.sem);
  const value = memory.read(at + guarded.value);
  const expected = TIMES * (cpus - 1);
  if (value !== expected) bug(`the guarded value is ${value}, the writers added ${expected}`);
}
