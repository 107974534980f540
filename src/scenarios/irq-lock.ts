/**
 * A lock that an interrupt handler takes too must be taken with interrupts off.  The mutant `irq-lock-not-saved` leaves
 * them on: a CPU that waits for the lock answers an interrupt, and its handler waits behind its own CPU.
 */

import { Vector } from "../hardware/vectors.ts";
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
  name: "irq-lock",
  summary: "an interrupt handler takes a lock that the interrupted code may hold",
  cpus: 2,
  mutants: ["irq-lock-not-saved"],
};

const Device = struct("device", {
  lock: embed(SpinLock, "atomic"),
  requests: word("lock:lock", "counter"),
  interrupts: word("lock:lock", "counter"),
});
const device = Device;
const notSaved = mutant("irq-lock-not-saved");
const TIMES = 2;

export function setup({ pages, spin }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  spin.format(at + device.lock, LockClass.TEST_A);
  return at;
}

export function attach({ regions, cpu, spin, memory }: Kernel, _options: object, at: Pointer): void {
  regions.add("device", at, Device);
  cpu.onInterrupt(Vector.USER_0, function handleDevice() {
    spin.lock(at + device.lock);
    memory.write(at + device.interrupts, memory.read(at + device.interrupts) + 1);
    spin.unlock(at + device.lock);
  });
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  const { cpu, cpus } = kernel;
  for (let i = 0; i < TIMES; i++) {
    cpu.sendInterrupt((cpu.id + 1) % cpus, Vector.USER_0);
    request(kernel, at);
    cpu.endOperation();
  }
}

function request({ spin, memory }: Kernel, at: Pointer): void {
  reached("irq-lock-not-saved");
  let flags = 0;
  if (notSaved) spin.lock(at + device.lock);
  else flags = spin.lockIrqSave(at + device.lock);
  memory.write(at + device.requests, memory.read(at + device.requests) + 1);
  if (notSaved) spin.unlock(at + device.lock);
  else spin.unlockIrqRestore(at + device.lock, flags);
}

export function check({ memory, cpus }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const requests = memory.read(at + device.requests);
  const interrupts = memory.read(at + device.interrupts);
  if (requests !== TIMES * cpus) bug(`${requests} requests were counted, ${TIMES * cpus} were made`);
  if (interrupts < 1 || interrupts > TIMES * cpus)
    bug(`${interrupts} interrupts of ${TIMES * cpus} were taken`);
}
