/**
 * The wait list of a sleeping lock: sleepers in the order they came, linked through their records.
 *
 * Everything here needs the lock's wait_lock.
 *
 * Invariants
 *   I1  first == 0 exactly when last == 0
 *   I2  next and previous agree: s.next.previous == s; first.previous == 0; last.next == 0
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Sleeper } from "./sleeper.ts";

export const WaitList = struct("wait_list", {
  /** Read without the lock by a waiter that asks whether it is the first. */
  first: word("hint:lock:wait_lock", "pointer:sleeper"),
  last: word("lock:wait_lock", "pointer:sleeper"),
});

const list = WaitList;
const sleeper = Sleeper;

/** Appends `waiter`; true when it is the only one.  @holds wait_lock */
export function addWaiter(memory: Memory, at: Pointer, waiter: Pointer): boolean {
  const last = memory.read(at + list.last);
  memory.write(waiter + sleeper.next, 0);
  memory.write(waiter + sleeper.previous, last);
  memory.write(at + list.last, waiter);
  memory.write(last === 0 ? at + list.first : last + sleeper.next, waiter);
  return last === 0;
}

/** Takes `waiter` out; true when nobody is left.  @holds wait_lock */
export function removeWaiter(memory: Memory, at: Pointer, waiter: Pointer): boolean {
  const next = memory.read(waiter + sleeper.next);
  const previous = memory.read(waiter + sleeper.previous);
  memory.write(previous === 0 ? at + list.first : previous + sleeper.next, next);
  memory.write(next === 0 ? at + list.last : next + sleeper.previous, previous);
  return next === 0 && previous === 0;
}

/** The one that has waited longest, 0 none.  Without wait_lock good enough to ask about oneself. */
export function firstWaiter(memory: Memory, at: Pointer): Pointer {
  return memory.read(at + list.first);
}

/** Checks I1 and I2; returns how many wait.  @holds wait_lock, or at rest */
export function checkWaitList(memory: Memory, at: Pointer): number {
  let count = 0;
  let previous = 0;
  for (let s = memory.read(at + list.first); s !== 0; s = memory.read(s + sleeper.next)) {
    const back = memory.read(s + sleeper.previous);
    if (back !== previous) bug(`I2: sleeper at word ${s} has previous ${back}, expected ${previous}`);
    previous = s;
    count++;
  }
  const last = memory.read(at + list.last);
  if (last !== previous) bug(`I1: wait list at word ${at} ends with ${previous}, last is ${last}`);
  return count;
}
