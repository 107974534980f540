import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Pointer } from "../../../src/memory/units.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { checkMutex, Mutex, Mutexes } from "../../../src/sync/mutex.ts";
import { checkRwLock, RwLock, RwLocks } from "../../../src/sync/rwlock.ts";
import { checkRwsem, RwSemaphore, RwSemaphores } from "../../../src/sync/rwsem.ts";
import { checkSeqLock, SeqLock, SeqLocks } from "../../../src/sync/seqlock.ts";
import { LOCK_AT, type SoloLocks, soloLocks } from "../../support/solo-locks.ts";

const CPUS = 3;

/** One CPU's view of a lock for readers and writers; every step is one that does not wait. */
interface View {
  tryRead(lock: Pointer): boolean;
  tryWrite(lock: Pointer): boolean;
  readUnlock(lock: Pointer): void;
  writeUnlock(lock: Pointer): void;
  downgrade?(lock: Pointer): void;
}

interface Kind {
  readonly name: string;
  views(solo: SoloLocks): { views: View[]; check(): void };
}

const kinds: readonly Kind[] = [
  {
    name: "rwlock",
    views: ({ all, engines, memory }) => {
      const locks = all.map((cpu, i) => new RwLocks(cpu, engines[i]));
      locks[0].format(LOCK_AT, LockClass.TEST_A);
      const views = locks.map((l) => ({
        tryRead: (at: Pointer) => l.tryReadLock(at),
        tryWrite: (at: Pointer) => l.tryWriteLock(at),
        readUnlock: (at: Pointer) => l.readUnlock(at),
        writeUnlock: (at: Pointer) => l.writeUnlock(at),
      }));
      return { views, check: () => checkRwLock(memory, LOCK_AT) };
    },
  },
  {
    name: "rwsem",
    views: ({ all, engines, memory, sleeping }) => {
      const sems = all.map((cpu, i) => new RwSemaphores(cpu, engines[i], sleeping));
      sems[0].format(LOCK_AT, LockClass.TEST_A);
      const views = sems.map((s) => ({
        tryRead: (at: Pointer) => s.tryReadLock(at),
        tryWrite: (at: Pointer) => s.tryWriteLock(at),
        readUnlock: (at: Pointer) => s.readUnlock(at),
        writeUnlock: (at: Pointer) => s.writeUnlock(at),
        downgrade: (at: Pointer) => s.downgrade(at),
      }));
      return { views, check: () => checkRwsem(memory, LOCK_AT) };
    },
  },
];

describe.each(kinds)("$name against a model", ({ views }) => {
  test("lets in exactly whom a reader count and a writer would let in", () => {
    const step = fc.record({
      cpu: fc.nat(CPUS - 1),
      act: fc.constantFrom("read", "write", "release", "downgrade"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const solo = soloLocks({ cpus: CPUS });
        const lock = views(solo);
        const reads = new Array<number>(CPUS).fill(0);
        let writer = -1;
        for (const { cpu, act } of steps) {
          const view = lock.views[cpu];
          const readers = reads.reduce((a, b) => a + b);
          if (act === "read") {
            const got = view.tryRead(LOCK_AT);
            expect(got).toBe(writer < 0);
            if (got) reads[cpu]++;
          } else if (act === "write") {
            const got = view.tryWrite(LOCK_AT);
            expect(got).toBe(writer < 0 && readers === 0);
            if (got) writer = cpu;
          } else if (writer === cpu) {
            if (act === "downgrade" && view.downgrade !== undefined) {
              view.downgrade(LOCK_AT);
              reads[cpu]++;
            } else view.writeUnlock(LOCK_AT);
            writer = -1;
          } else if (act === "release" && reads[cpu] > 0) {
            view.readUnlock(LOCK_AT);
            reads[cpu]--;
          }
        }
        if (writer >= 0) lock.views[writer].writeUnlock(LOCK_AT);
        reads.forEach((held, cpu) => {
          for (let i = 0; i < held; i++) lock.views[cpu].readUnlock(LOCK_AT);
        });
        lock.check();
        for (const cpu of solo.all) expect(cpu.preemptCount).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe("rwlock", () => {
  test("the irq forms save and restore the interrupt flag", () => {
    const { cpu, engines } = soloLocks();
    const locks = new RwLocks(cpu, engines[0]);
    locks.format(LOCK_AT, LockClass.TEST_A);
    const read = locks.readLockIrqSave(LOCK_AT);
    expect(cpu.irqsEnabled).toBe(false);
    locks.readUnlockIrqRestore(LOCK_AT, read);
    expect(cpu.irqsEnabled).toBe(true);
    const write = locks.writeLockIrqSave(LOCK_AT);
    expect(cpu.irqsEnabled).toBe(false);
    expect(locks.describe(LOCK_AT)).toContain("written by cpu 0");
    locks.writeUnlockIrqRestore(LOCK_AT, write);
    expect(cpu.irqsEnabled).toBe(true);
  });

  test("misuse is a bug that names the lock", () => {
    const { all, engines, memory } = soloLocks();
    const [a, b] = all.map((cpu, i) => new RwLocks(cpu, engines[i]));
    a.format(LOCK_AT, LockClass.TASKLIST);
    a.readLock(LOCK_AT);
    expect(() => b.writeUnlock(LOCK_AT)).toThrow(
      "cpu 1 is not the writer of rwlock tasklist_lock at 0x1000 (1 readers)",
    );
    a.readUnlock(LOCK_AT);
    a.writeLock(LOCK_AT);
    expect(() => a.readLock(LOCK_AT)).toThrow(/cpu 0: locks rwlock tasklist_lock .* again/);
    memory.store(LOCK_AT + RwLock.count, 0x200);
    expect(() => checkRwLock(memory, LOCK_AT)).toThrow("I3: rwlock at word 1024 at rest: count 0x200");
  });
});

function mutexes(): { a: Mutexes; b: Mutexes; solo: SoloLocks } {
  const solo = soloLocks();
  const [a, b] = solo.all.map((cpu, i) => new Mutexes(cpu, solo.engines[i], solo.sleeping));
  a.format(LOCK_AT, LockClass.SLAB_MUTEX);
  return { a, b, solo };
}

describe("mutex", () => {
  test("is held by who took it, refused to others, free after unlock", () => {
    const { a, b, solo } = mutexes();
    a.lock(LOCK_AT);
    expect([a.isHeldHere(LOCK_AT), b.isHeldHere(LOCK_AT)]).toEqual([true, false]);
    expect([a.tryLock(LOCK_AT), b.tryLock(LOCK_AT)]).toEqual([false, false]);
    expect(solo.cpu.preemptCount).toBe(0);
    a.unlock(LOCK_AT);
    expect(b.tryLock(LOCK_AT)).toBe(true);
    b.unlock(LOCK_AT);
    checkMutex(solo.memory, LOCK_AT);
  });

  test("misuse is a bug that names the mutex", () => {
    const { a, b, solo } = mutexes();
    expect(() => a.unlock(LOCK_AT)).toThrow(
      "cpu 0 unlocks mutex slab_mutex at 0x1000 (free), which it does not hold",
    );
    a.lock(LOCK_AT);
    expect(() => b.unlock(LOCK_AT)).toThrow("cpu 1 unlocks mutex slab_mutex at 0x1000 (held by cpu 0)");
    expect(() => a.lock(LOCK_AT)).toThrow("cpu 0: locks mutex slab_mutex at 0x1000 (held by cpu 0) again");
    expect(() => b.assertHeld(LOCK_AT)).toThrow("cpu 1 does not hold mutex slab_mutex");
    expect(() => checkMutex(solo.memory, LOCK_AT)).toThrow("I3: mutex at rest: owner word 0x8, spin queue 0");
    solo.memory.store(LOCK_AT + Mutex.owner, 0xb);
    expect(a.describe(LOCK_AT)).toContain("(held by cpu 0, WAITERS|HANDOFF)");
    expect(() => checkMutex(solo.memory, LOCK_AT)).toThrow("I1: mutex word 0xb, 0 waiters");
    solo.memory.store(LOCK_AT + Mutex.owner, 0xa);
    expect(() => checkMutex(solo.memory, LOCK_AT)).toThrow("I2: mutex word 0xa without waiters");
  });

  test("must not be taken where sleeping is forbidden", () => {
    const { a, solo } = mutexes();
    solo.cpu.preemptDisable();
    expect(() => a.lock(LOCK_AT)).toThrow(
      "sleeping function called from invalid context at mutex_lock: in_atomic(): 1",
    );
  });
});

function sems(): { a: RwSemaphores; b: RwSemaphores; solo: SoloLocks } {
  const solo = soloLocks();
  const [a, b] = solo.all.map((cpu, i) => new RwSemaphores(cpu, solo.engines[i], solo.sleeping));
  a.format(LOCK_AT, LockClass.MMAP);
  return { a, b, solo };
}

describe("rwsem", () => {
  test("two readers are inside together", () => {
    const { a, b, solo } = sems();
    a.readLock(LOCK_AT);
    b.readLock(LOCK_AT);
    expect(a.describe(LOCK_AT)).toContain("(2 readers)");
    a.assertHeld(LOCK_AT);
    expect(a.tryWriteLock(LOCK_AT)).toBe(false);
    a.readUnlock(LOCK_AT);
    b.readUnlock(LOCK_AT);
    checkRwsem(solo.memory, LOCK_AT);
  });

  test("misuse is a bug that names the semaphore", () => {
    const { a, b, solo } = sems();
    const name = "rwsem &mm->mmap_lock at 0x1000";
    expect(() => a.assertHeld(LOCK_AT)).toThrow(`nobody holds ${name}`);
    a.writeLock(LOCK_AT);
    expect(() => b.writeUnlock(LOCK_AT)).toThrow(`cpu 1 is not the writer of ${name} (written by cpu 0)`);
    expect(() => b.downgrade(LOCK_AT)).toThrow("cpu 1 is not the writer");
    expect(() => a.readLock(LOCK_AT)).toThrow(/down_read of .* which it writes/);
    solo.memory.add(LOCK_AT, -0x100);
    expect(() => a.writeLock(LOCK_AT)).toThrow(/down_write of .* again/);
    a.writeUnlock(LOCK_AT);
    solo.memory.store(LOCK_AT, 0);
    expect(() => a.readUnlock(LOCK_AT)).toThrow(/up_read of .* without readers/);
    const { memory } = solo;
    memory.store(LOCK_AT + RwSemaphore.count, 2);
    expect(() => checkRwsem(memory, LOCK_AT)).toThrow("I2: rwsem count 0x2, 0 waiters");
    memory.store(LOCK_AT + RwSemaphore.count, 4);
    expect(() => checkRwsem(memory, LOCK_AT)).toThrow("I3: rwsem count 0x4 without waiters");
    memory.store(LOCK_AT + RwSemaphore.count, 0x300);
    expect(() => checkRwsem(memory, LOCK_AT)).toThrow("I4: rwsem at rest: count 0x300, spin queue 0");
    solo.cpu.irqDisable();
    expect(() => a.writeLock(LOCK_AT)).toThrow("invalid context at down_write");
    expect(() => a.readLock(LOCK_AT)).toThrow("invalid context at down_read");
  });
});

describe("seqlock", () => {
  test("a reader retries exactly when a writer came", () => {
    const { all, engines, memory } = soloLocks();
    const [a, b] = all.map((cpu, i) => new SeqLocks(cpu, engines[i]));
    a.format(LOCK_AT, LockClass.SEQLOCK);
    const sequence = LOCK_AT + SeqLock.sequence;
    const start = a.readBegin(sequence);
    expect(a.readRetry(sequence, start)).toBe(false);
    b.writeLock(LOCK_AT);
    expect(a.readRaw(sequence) & 1).toBe(1);
    expect(() => checkSeqLock(memory, LOCK_AT)).toThrow("I1: seqlock at word 1024 at rest has sequence 1");
    expect(() => a.writeBegin(sequence)).toThrow("a writer is already inside");
    b.writeUnlock(LOCK_AT);
    expect(a.readRetry(sequence, start)).toBe(true);
    expect(a.readBegin(sequence)).toBe(start + 2);
    a.readLockExclusive(LOCK_AT);
    expect(a.readRetry(sequence, start + 2)).toBe(false);
    a.readUnlockExclusive(LOCK_AT);
    b.writeUnlockIrqRestore(LOCK_AT, b.writeLockIrqSave(LOCK_AT));
    expect(all[1].irqsEnabled).toBe(true);
    checkSeqLock(memory, LOCK_AT);
  });

  test("the sequence wraps", () => {
    const { cpu, memory } = soloLocks();
    const counts = new SeqLocks(cpu, soloLocks().engines[0]);
    memory.store(LOCK_AT, -2);
    counts.writeBegin(LOCK_AT);
    counts.writeEnd(LOCK_AT);
    expect(memory.load(LOCK_AT)).toBe(0);
  });
});
