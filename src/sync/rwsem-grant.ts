/**
 * Who gets an rwsem next: the first waiter, and with a reader all the readers behind it.
 *
 * A writer is only woken, and takes the lock itself.  Readers are given the lock before they wake, so that they need not
 * compete for it.  Linux: kernel/locking/rwsem.c rwsem_mark_wake.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { mutant, reached } from "../memory/mutants.ts";
import type { Pointer } from "../memory/units.ts";
import { RwSemaphore, RwsemBit, RwsemOwner } from "./rwsem-layout.ts";
import { Sleeper } from "./sleeper.ts";
import { firstWaiter, removeWaiter } from "./wait-list.ts";

const rwsem = RwSemaphore;
const sleeper = Sleeper;
const { WRITER, WAITERS, HANDOFF, READER, READER_MASK } = RwsemBit;
const { READER_OWNED, NONSPINNABLE, SHIFT } = RwsemOwner;

const grantsBlindly = mutant("rwsem-grants-blindly");

/** Kinds of waiters. */
export const READ = 1;
export const WRITE = 2;
/** Readers that one wake lets in. */
export const MAX_READERS_WAKEUP = 256;

/** Whom a wake may give the lock to: anyone; readers, if the first waiter is one; readers, and one holds it already. */
export const Wake = { ANY: 0, READERS: 1, READ_OWNED: 2 } as const;

/** Gives the lock to whom it is due; returns the owners to wake once wait_lock is released.  @holds wait_lock */
export function markWake(cpu: Cpu, sem: Pointer, type: number): number[] {
  const { memory } = cpu;
  const list = sem + rwsem.waiters;
  const first = firstWaiter(memory, list);
  if (first === 0) return [];
  if (memory.read(first + sleeper.kind) === WRITE) {
    return type === Wake.ANY ? [memory.read(first + sleeper.owner)] : [];
  }
  if (memory.load(sem + rwsem.count) < 0) return [];
  const alreadyIn = type === Wake.READ_OWNED ? 0 : READER;
  if (alreadyIn !== 0 && !enterAsReader(cpu, sem, first)) return [];

  const readers = takeReaders(cpu, list);
  let change = readers.length * READER - alreadyIn;
  if (firstWaiter(memory, list) === 0) change -= WAITERS;
  if ((memory.load(sem + rwsem.count) & HANDOFF) !== 0) change -= HANDOFF;
  if (change !== 0) memory.add(sem + rwsem.count, change);
  const owners = readers.map((reader) => memory.read(reader + sleeper.owner));
  for (const reader of readers) memory.store(reader + sleeper.waiting, 0);
  return owners;
}

/** After a waiter joined: wakes those who can be in with the count as it is.  @holds wait_lock */
export function wakeIfPossible(cpu: Cpu, sem: Pointer, count: number): number[] {
  if ((count & WRITER) !== 0) return [];
  if ((count & READER_MASK) !== 0) return markWake(cpu, sem, Wake.READERS);
  cpu.memory.and(sem + rwsem.owner, ~NONSPINNABLE);
  return markWake(cpu, sem, Wake.ANY);
}

/**
 * Counts one reader in on behalf of `first`.  A writer may have taken the lock meanwhile: then not, and if `first` has
 * waited too long, no more writers may overtake it.
 */
function enterAsReader(cpu: Cpu, sem: Pointer, first: Pointer): boolean {
  const { memory } = cpu;
  const before = memory.add(sem + rwsem.count, READER);
  reached("rwsem-grants-blindly");
  if ((before & WRITER) === 0 || grantsBlindly) {
    const owner = memory.read(first + sleeper.owner);
    const kept = memory.load(sem + rwsem.owner) & NONSPINNABLE;
    memory.store(sem + rwsem.owner, (owner << SHIFT) | READER_OWNED | kept);
    return true;
  }
  let back = -READER;
  if (cpu.nowNs() > memory.readFloat64(first + sleeper.impatientNs)) {
    if ((before & HANDOFF) === 0) back += HANDOFF;
    memory.write(first + sleeper.handOff, 1);
  }
  memory.add(sem + rwsem.count, back);
  return false;
}

/** Takes the first MAX_READERS_WAKEUP readers off the list; writers among them stay. */
function takeReaders(cpu: Cpu, list: Pointer): Pointer[] {
  const { memory } = cpu;
  const readers: Pointer[] = [];
  let next = 0;
  for (let s = firstWaiter(memory, list); s !== 0 && readers.length < MAX_READERS_WAKEUP; s = next) {
    next = memory.read(s + sleeper.next);
    if (memory.read(s + sleeper.kind) === WRITE) continue;
    removeWaiter(memory, list, s);
    readers.push(s);
  }
  return readers;
}
