/** Names for a workload's own memory in reports: which words are its lock, its counter, its table. */

import type { Kernel } from "../../machine/kernel.ts";
import { struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { Mutex } from "../../sync/mutex.ts";
import { RwLock } from "../../sync/rwlock.ts";
import { RwSemaphore } from "../../sync/rwsem-layout.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { SeqLock } from "../../sync/seqlock.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { LOCK_WORDS, type SectionKind } from "./section.ts";

const Word = struct("word", { value: word("atomic") });
const Counter = struct("counter", { value: word("atomic", "counter") });
const Pair = struct("guarded_pair", { first: word("lock:lock"), second: word("lock:lock") });
const LOCKS: Readonly<Record<SectionKind, object>> = {
  spin: SpinLock,
  "spin-irq": SpinLock,
  rwlock: RwLock,
  seqlock: SeqLock,
  mutex: Mutex,
  rwsem: RwSemaphore,
  semaphore: Semaphore,
};

/** `count` words of no further structure. */
export function nameWords({ regions }: Kernel, name: string, at: Pointer, count = 1): void {
  regions.add(name, at, Word, count);
}

/** A word that CPUs count in, or one for each of them. */
export function nameCounters({ regions }: Kernel, name: string, at: Pointer, count = 1): void {
  regions.add(name, at, Counter, count);
}

/** A lock of `kind`, and behind it the pair that it guards. */
export function nameSection({ regions }: Kernel, name: string, kind: SectionKind, lock: Pointer): void {
  regions.add(name, lock, LOCKS[kind]);
  regions.add(`${name} data`, lock + LOCK_WORDS, Pair);
}
