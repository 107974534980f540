/**
 * A CPU calls a function on another and waits, while the other wants a lock that the caller holds.  With interrupts on
 * the target answers while it waits; the mutant `call-under-lock-irqs-off` makes it wait with interrupts off, for ever.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { FunctionId } from "../sync/functions.ts";
import { LockClass } from "../sync/lock-class.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "call-under-lock",
  summary: "a CPU that holds a lock calls another CPU, which wants the lock",
  cpus: 2,
  mutants: ["call-under-lock-irqs-off"],
};

const Table = struct("flushed_table", {
  lock: embed(SpinLock, "atomic"),
  entries: word("lock:lock", "counter"),
  flushes: word("atomic", "counter"),
});
const table = Table;
const irqsOff = mutant("call-under-lock-irqs-off");
const TIMES = 2;

export function setup({ pages, spin }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  spin.format(at + table.lock, LockClass.TEST_A);
  return at;
}

/** Registers what the target does; its id is the same on all CPUs. */
export function attach({ regions, functions, memory }: Kernel, _options: object, at: Pointer): FunctionId {
  regions.add("flushed_table", at, Table);
  return functions.register("scenario_flush", function flushTable() {
    memory.add(at + table.flushes, 1);
  });
}

export function run(kernel: Kernel, _options: object, at: Pointer, flush: FunctionId): void {
  for (let i = 0; i < TIMES; i++) {
    if (kernel.cpu.id === 0) changeAndFlush(kernel, at, flush);
    else change(kernel, at);
    kernel.cpu.endOperation();
  }
}

function changeAndFlush({ spin, memory, calls, cpus }: Kernel, at: Pointer, flush: FunctionId): void {
  spin.lock(at + table.lock);
  memory.write(at + table.entries, memory.read(at + table.entries) + 1);
  for (let target = 1; target < cpus; target++) calls.single(target, flush, 0, true);
  spin.unlock(at + table.lock);
}

function change({ spin, memory }: Kernel, at: Pointer): void {
  reached("call-under-lock-irqs-off");
  let flags = 0;
  if (irqsOff) flags = spin.lockIrqSave(at + table.lock);
  else spin.lock(at + table.lock);
  memory.write(at + table.entries, memory.read(at + table.entries) + 1);
  if (irqsOff) spin.unlockIrqRestore(at + table.lock, flags);
  else spin.unlock(at + table.lock);
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const entries = memory.read(at + table.entries);
  const flushes = memory.read(at + table.flushes);
  if (entries !== TIMES * cpus) bug(`the table has ${entries} entries, ${TIMES * cpus} were made`);
  if (flushes !== TIMES * (cpus - 1)) bug(`${flushes} flushes were done, ${TIMES * (cpus - 1)} were called`);
}
