/** Fails while it holds a lock of each kind, and says so in the kernel log. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { bug } from "../../../src/memory/bug.ts";
import { embed, struct } from "../../../src/memory/struct.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { Mutex } from "../../../src/sync/mutex.ts";
import { RwLock } from "../../../src/sync/rwlock.ts";
import { RwSemaphore } from "../../../src/sync/rwsem.ts";
import { SpinLock } from "../../../src/sync/spinlock-layout.ts";

export const describe: ScenarioDescription = {
  name: "holds-locks",
  summary: "a bug under a lock of each kind",
  cpus: 1,
  mutants: [],
};
const Locks = struct("locks", {
  mutex: embed(Mutex, "atomic"),
  sem: embed(RwSemaphore, "atomic"),
  rwlock: embed(RwLock, "atomic"),
  spin: embed(SpinLock, "atomic", 2),
});

export function setup(kernel: Kernel): Pointer {
  const at = kernel.pages.getZeroedPage(Gfp.KERNEL);
  kernel.mutexes.format(at + Locks.mutex, LockClass.TEST_A);
  kernel.rwsems.format(at + Locks.sem, LockClass.TEST_B);
  kernel.rwlocks.format(at + Locks.rwlock, LockClass.TEST_C);
  kernel.spin.format(at + Locks.spin + 4, LockClass.TEST_D);
  return at;
}

export function attach(kernel: Kernel, _options: object, at: Pointer): void {
  kernel.regions.add("locks", at, Locks);
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  kernel.mutexes.lock(at + Locks.mutex);
  kernel.rwsems.writeLock(at + Locks.sem);
  kernel.rwlocks.writeLock(at + Locks.rwlock);
  kernel.spin.lock(at + Locks.spin + 4);
  kernel.printk("all four are held");
  bug("under four locks");
}
