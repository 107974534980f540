/** Who holds a lock, from its words in RAM: for reports. */

import type { Pointer } from "../memory/units.ts";
import { Mutex } from "../sync/mutex.ts";
import { RwLock } from "../sync/rwlock.ts";
import { RwSemaphore, RwsemBit, RwsemOwner } from "../sync/rwsem-layout.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";

/** Below it in a mutex's owner word are flags: see sync/mutex. */
const MUTEX_OWNER_SHIFT = 3;

/** How the locks of a kind say who holds them: 1 + CPU, or 0. */
export const HOLDER_OF: Readonly<Record<string, (ram: Int32Array, lock: Pointer) => number>> = {
  spinlock: (ram, lock) => ram[lock + SpinLock.owner],
  rwlock: (ram, lock) => ram[lock + RwLock.writer],
  mutex: (ram, lock) => ram[lock + Mutex.owner] >> MUTEX_OWNER_SHIFT,
  rwsem: (ram, lock) => {
    const isWritten = (ram[lock + RwSemaphore.count] & RwsemBit.WRITER) !== 0;
    return isWritten ? ram[lock + RwSemaphore.owner] >> RwsemOwner.SHIFT : 0;
  },
};

/** Where locks of a kind have their class. */
const CLASS_AT: Readonly<Record<string, number>> = {
  spinlock: SpinLock.classId,
  rwlock: RwLock.classId,
  mutex: Mutex.classId,
  rwsem: RwSemaphore.classId,
};

/** The CPU that holds the lock of class `classId` at `lock`, whatever its kind; -1 when nobody does or it does not say. */
export function holderOf(ram: Int32Array, lock: Pointer, classId: number): number {
  const kind = Object.keys(CLASS_AT).find((name) => ram[lock + CLASS_AT[name]] === classId);
  return kind === undefined ? -1 : HOLDER_OF[kind](ram, lock) - 1;
}
