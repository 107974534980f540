/**
 * CPUs read and write two words under one lock of kind `lock` (mutex, rwsem, rwlock, seqlock).  A writer adds to both,
 * with work between; a reader must find them equal.  Everything under the lock is accessed plainly, so a lock that lets
 * the wrong ones in loses additions or shows halves.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { checkMutex } from "../../../src/sync/mutex.ts";
import { checkRwLock } from "../../../src/sync/rwlock.ts";
import { checkRwsem } from "../../../src/sync/rwsem.ts";
import { checkSeqLock } from "../../../src/sync/seqlock.ts";
import { checkSpinLocks } from "../../../src/sync/spinlock.ts";

const Offset = {
  LOCK: 0,
  FIRST: 32,
  SECOND: 48,
  READERS: 64,
  WRITERS: 65,
  MOST_READERS: 66,
  WRITES: 80,
} as const;

/** The same five steps for every kind of lock. */
interface Sections {
  format(lock: Pointer): void;
  write(lock: Pointer, section: () => void): void;
  /** Runs `section`, again if it was disturbed; the last run counts. */
  read(lock: Pointer, section: () => void): void;
  /** Turns a write section into a read section, where the lock can. */
  writeThenRead?(lock: Pointer, write: () => void, read: () => void): void;
  check(lock: Pointer): void;
}

export function setup(kernel: Kernel, options: ProgramOptions): Pointer {
  const data = kernel.pages.getZeroedPage(Gfp.KERNEL);
  sectionsOf(kernel, options).format(data + Offset.LOCK);
  return data;
}

export function run(kernel: Kernel, options: ProgramOptions, data: Pointer): void {
  const { memory, cpu } = kernel;
  const sections = sectionsOf(kernel, options);
  const lock = data + Offset.LOCK;
  const plain = options.lock !== "seqlock";
  const inside = Number(options.inside ?? 20);
  const write = (): void => {
    if (memory.add(data + Offset.WRITERS, 1) !== 0) throw new Error("two writers are inside");
    if (plain && memory.load(data + Offset.READERS) !== 0) throw new Error("a writer is inside with readers");
    const value = memory.read(data + Offset.FIRST) + 1;
    store(data + Offset.FIRST, value);
    spin(cpu.random.below(inside));
    store(data + Offset.SECOND, memory.read(data + Offset.SECOND) + 1);
    memory.add(data + Offset.WRITERS, -1);
  };
  const store = (word: Pointer, value: number): void => {
    if (plain) memory.write(word, value);
    else memory.store(word, value);
  };
  let halves = false;
  const read = (): void => {
    if (plain) memory.add(data + Offset.READERS, 1);
    if (plain && memory.load(data + Offset.WRITERS) !== 0)
      throw new Error("a reader is inside with a writer");
    const first = memory.load(data + Offset.FIRST);
    spin(cpu.random.below(inside));
    halves = memory.load(data + Offset.SECOND) !== first;
    if (plain) memory.add(data + Offset.READERS, -1);
  };
  const mine = data + Offset.WRITES + cpu.id;
  const rounds = Number(options.sections);
  const readShare = options.lock === "mutex" ? 0 : Number(options.readShare ?? 4);
  kernel.phase("sections", () => {
    for (let i = 0; i < rounds; i++) {
      const way = cpu.random.below(8);
      if (way < readShare) {
        sections.read(lock, read);
        if (halves) throw new Error("a reader has seen half of a write");
      } else {
        if (way === 7 && sections.writeThenRead !== undefined) sections.writeThenRead(lock, write, read);
        else sections.write(lock, write);
        if (halves) throw new Error("a reader that was the writer has seen half of a write");
        memory.write(mine, memory.read(mine) + 1);
      }
      spin(cpu.random.below(60));
      cpu.endOperation();
    }
    return rounds;
  });
}

export function check(kernel: Kernel, options: ProgramOptions, _values: unknown, data: Pointer): void {
  const { memory } = kernel;
  let writes = 0;
  for (let cpu = 0; cpu < kernel.cpus; cpu++) writes += memory.read(data + Offset.WRITES + cpu);
  for (const word of [Offset.FIRST, Offset.SECOND]) {
    const found = memory.read(data + word);
    if (found !== writes) throw new Error(`word ${word} is ${found}, the CPUs added ${writes}`);
  }
  sectionsOf(kernel, options).check(data + Offset.LOCK);
  checkSpinLocks(memory, kernel.image.spin, kernel.cpus);
  kernel.pages.freePagesAt(data, 0);
}

function sectionsOf(kernel: Kernel, options: ProgramOptions): Sections {
  const kinds: Record<string, (kernel: Kernel) => Sections> = {
    mutex: mutexSections,
    rwsem: rwsemSections,
    rwlock: rwlockSections,
    seqlock: seqlockSections,
  };
  return kinds[String(options.lock)](kernel);
}

function mutexSections({ memory, mutexes }: Kernel): Sections {
  const write = (lock: Pointer, section: () => void): void => {
    mutexes.lock(lock);
    section();
    mutexes.unlock(lock);
  };
  return {
    format: (lock) => mutexes.format(lock, LockClass.TEST_A),
    write,
    read: write,
    writeThenRead: (lock, section) => {
      if (!mutexes.tryLock(lock)) mutexes.lock(lock);
      section();
      mutexes.unlock(lock);
    },
    check: (lock) => checkMutex(memory, lock),
  };
}

function rwsemSections({ memory, cpu, rwsems: sems }: Kernel): Sections {
  return {
    format: (lock) => sems.format(lock, LockClass.TEST_A),
    write: (lock, section) => {
      if (cpu.random.below(4) !== 0 || !sems.tryWriteLock(lock)) sems.writeLock(lock);
      section();
      sems.writeUnlock(lock);
    },
    read: (lock, section) => {
      if (cpu.random.below(4) !== 0 || !sems.tryReadLock(lock)) sems.readLock(lock);
      section();
      sems.readUnlock(lock);
    },
    writeThenRead: (lock, write, read) => {
      sems.writeLock(lock);
      write();
      sems.downgrade(lock);
      read();
      sems.readUnlock(lock);
    },
    check: (lock) => checkRwsem(memory, lock),
  };
}

function rwlockSections({ memory, cpu, rwlocks }: Kernel): Sections {
  return {
    format: (lock) => rwlocks.format(lock, LockClass.TEST_A),
    write: (lock, section) => {
      if (cpu.random.below(4) !== 0 || !rwlocks.tryWriteLock(lock)) rwlocks.writeLock(lock);
      section();
      rwlocks.writeUnlock(lock);
    },
    read: (lock, section) => {
      if (cpu.random.below(4) !== 0 || !rwlocks.tryReadLock(lock)) rwlocks.readLock(lock);
      section();
      rwlocks.readUnlock(lock);
    },
    check: (lock) => checkRwLock(memory, lock),
  };
}

function seqlockSections({ memory, seqlocks }: Kernel): Sections {
  return {
    format: (lock) => seqlocks.format(lock, LockClass.TEST_A),
    write: (lock, section) => {
      seqlocks.writeLock(lock);
      section();
      seqlocks.writeUnlock(lock);
    },
    read: (lock, section) => {
      let start: number;
      do {
        start = seqlocks.readBegin(lock);
        section();
      } while (seqlocks.readRetry(lock, start));
    },
    check: (lock) => checkSeqLock(memory, lock),
  };
}

function spin(rounds: number): void {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = Math.imul(x, 1664525) + 1013904223;
  if (x === 0) throw new Error("this stream never gives 0");
}
