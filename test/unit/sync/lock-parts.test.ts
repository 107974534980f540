import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/memory/bug.ts";
import { loadCreateLock, UserLock } from "../../../src/sync/custom-lock.ts";
import { LOCK_CLASSES, LockClass, lockClassName } from "../../../src/sync/lock-class.ts";
import { checkLockStats, LockStat, LockStats } from "../../../src/sync/lock-stat.ts";
import { tryStep } from "../../../src/sync/mutex.ts";
import { NODE_LEVELS, QueueNodes } from "../../../src/sync/queue-node.ts";
import { queuedWriterStep, RwsemBit, spinningWriterStep } from "../../../src/sync/rwsem-layout.ts";
import { Sleeper } from "../../../src/sync/sleeper.ts";
import { addWaiter, checkWaitList, removeWaiter, WaitList } from "../../../src/sync/wait-list.ts";
import { LOCK_AT, soloLocks } from "../../support/solo-locks.ts";

test("every lock class has a name of its own", () => {
  const ids = Object.values(LockClass);
  expect(Math.max(...ids)).toBeLessThan(LOCK_CLASSES);
  expect(new Set(ids).size).toBe(ids.length);
  expect(new Set(ids.map(lockClassName)).size).toBe(ids.length);
});

describe("steps of the mutex's owner word", () => {
  const WAITERS = 1;
  const HANDOFF = 2;
  const PICKUP = 4;
  const me = 3 << 3;
  const other = 5 << 3;

  test.each([
    ["free", 0, false, me],
    ["free with waiters", WAITERS, false, me | WAITERS],
    ["held by another", other, false, other],
    ["held by another, woken in vain", other | WAITERS, true, other | WAITERS | HANDOFF],
    ["held by another, hand-off asked for", other | WAITERS | HANDOFF, true, other | WAITERS | HANDOFF],
    ["given to me", me | WAITERS | PICKUP, false, me | WAITERS],
    ["given to another", other | WAITERS | PICKUP, true, other | WAITERS | PICKUP],
  ])("%s", (_, word, handOff, next) => {
    expect(tryStep(word, me, handOff)).toBe(next);
  });

  test("nobody loses it who holds it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256 }), fc.nat(7), fc.boolean(), (owner, flags, handOff) => {
        const word = (owner << 3) | flags;
        expect(tryStep(word, 300 << 3, handOff) >> 3).toBe(owner);
      }),
    );
  });
});

describe("steps of the rwsem's count", () => {
  const { WRITER, WAITERS, HANDOFF, READER } = RwsemBit;
  const waits = { mayTake: true, isAlone: false, isLate: false };

  test("a queued writer takes a free lock and leaves the bits to who still waits", () => {
    expect(queuedWriterStep(WAITERS, waits)).toBe(WRITER | WAITERS);
    expect(queuedWriterStep(WAITERS | HANDOFF, waits)).toBe(WRITER | WAITERS);
    expect(queuedWriterStep(WAITERS, { ...waits, isAlone: true })).toBe(WRITER);
  });

  test("it waits for holders, and asks for a hand-off once when late", () => {
    for (const held of [WRITER | WAITERS, READER | WAITERS, (5 * READER) | WAITERS]) {
      expect(queuedWriterStep(held, waits)).toBe(held);
      expect(queuedWriterStep(held, { ...waits, isLate: true })).toBe(held | HANDOFF);
      expect(queuedWriterStep(held | HANDOFF, { ...waits, isLate: true })).toBe(held | HANDOFF);
    }
  });

  test("it yields to whom the lock is promised", () => {
    const promised = WAITERS | HANDOFF;
    expect(queuedWriterStep(promised, { ...waits, mayTake: false })).toBe(promised);
  });

  test("a spinning writer overtakes waiters but no promise", () => {
    expect(spinningWriterStep(0)).toBe(WRITER);
    expect(spinningWriterStep(WAITERS)).toBe(WRITER | WAITERS);
    for (const count of [WRITER, READER, WAITERS | HANDOFF]) expect(spinningWriterStep(count)).toBe(count);
  });
});

test("the wait list keeps order, and its check sees broken links", () => {
  const { memory } = soloLocks();
  const list = LOCK_AT;
  const [a, b, c] = [2048, 2080, 2112];
  expect(addWaiter(memory, list, a)).toBe(true);
  expect(addWaiter(memory, list, b)).toBe(false);
  expect(addWaiter(memory, list, c)).toBe(false);
  expect(checkWaitList(memory, list)).toBe(3);
  expect(removeWaiter(memory, list, b)).toBe(false);
  expect(checkWaitList(memory, list)).toBe(2);
  memory.write(c + Sleeper.previous, b);
  expect(() => checkWaitList(memory, list)).toThrow(
    "I2: sleeper at word 2112 has previous 2080, expected 2048",
  );
  memory.write(c + Sleeper.previous, a);
  memory.write(list + WaitList.last, a);
  expect(() => checkWaitList(memory, list)).toThrow(
    "I1: wait list at word 1024 ends with 2112, last is 2048",
  );
  memory.write(list + WaitList.last, c);
  expect(removeWaiter(memory, list, a)).toBe(false);
  expect(removeWaiter(memory, list, c)).toBe(true);
  expect(checkWaitList(memory, list)).toBe(0);
});

test("a CPU has four queue nodes; a fifth, or one in use at rest, is a bug", () => {
  const { cpu, memory, slots } = soloLocks();
  const nodes = new QueueNodes(cpu, slots.nodes);
  const seen = new Set<number>();
  for (let i = 0; i < NODE_LEVELS; i++) {
    const node = nodes.get();
    expect(nodes.nodeOf(nodes.tailOf(node))).toBe(node);
    seen.add(node);
  }
  expect(seen.size).toBe(NODE_LEVELS);
  expect(() => nodes.get()).toThrow("cpu 0: waits for 4 queued locks at once");
  expect(() => QueueNodes.check(memory, slots.nodes, 2)).toThrow("I1: cpu 0 uses 4 queue nodes at rest");
});

test("the check of statistics sees what cannot be", () => {
  const { cpu, memory, slots } = soloLocks();
  const at = slots.stats.of(0) + LockClass.ZONE * 16;
  const set = (field: number, value: number): void => memory.writeFloat64(at + field, value);
  memory.write(at + LockStat.acquisitions, 3);
  set(LockStat.contended, 4);
  expect(() => checkLockStats(memory, slots, 2)).toThrow(
    "I1: &zone->lock was waited for 4 times and taken 3 times",
  );
  set(LockStat.contended, 1);
  set(LockStat.waitNs, 5);
  set(LockStat.waitMaxNs, 7);
  expect(() => checkLockStats(memory, slots, 2)).toThrow("I2: &zone->lock waits min 0, max 7, total 5 ns");
  set(LockStat.waitMaxNs, 5);
  set(LockStat.heldMinNs, 2);
  expect(() => checkLockStats(memory, slots, 2)).toThrow("I2: &zone->lock holds min 2, max 0, total 0 ns");
  new LockStats(cpu, slots).reset();
  checkLockStats(memory, slots, 2);
  memory.write(slots.held.of(1), 1);
  expect(() => checkLockStats(memory, slots, 2)).toThrow("I3: cpu 1 holds 1 locks at rest");
});

const url = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;

describe("a lock from one's own file", () => {
  test.each([
    ["", "lock kind custom needs a lock module: it must export a function createLock"],
    ["data:text/javascript,export%20{", "cannot be loaded"],
    [
      url("export const lock = 1; export const other = 2;"),
      "exports lock, other: it must export a function createLock",
    ],
    [url(""), "exports nothing: it must"],
  ])("%s is refused with what it must export", async (module, message) => {
    await expect(loadCreateLock(module)).rejects.toThrow(UsageError);
    await expect(loadCreateLock(module)).rejects.toThrow(message);
  });

  test("createLock must return lock and unlock", async () => {
    const { cpu } = soloLocks();
    const createLock = await loadCreateLock(url("export const createLock = () => ({ lock() {} });"));
    expect(() => new UserLock(cpu, createLock)).toThrow(
      "createLock of the lock module returned no function unlock",
    );
  });

  test("without tryLock every attempt is refused, and lock works", async () => {
    const { engines } = soloLocks({
      kind: "custom",
      createLock: (_cpu, memory) => ({
        lock: (word) => memory.store(word, 1),
        unlock: (word) => memory.store(word, 0),
      }),
    });
    engines[0].format(LOCK_AT, LockClass.TEST_A);
    expect(engines[0].tryLock(LOCK_AT)).toBe(false);
    engines[0].lock(LOCK_AT);
    engines[0].unlock(LOCK_AT);
  });

  test("a custom kind without a module is a bug", () => {
    expect(() => soloLocks({ kind: "custom", createLock: null })).toThrow(
      "lock kind custom without a createLock",
    );
  });
});

test("unlocking a queued lock whose word was overwritten is a bug", () => {
  const { engines, memory } = soloLocks({ kind: "pv" });
  engines[0].format(LOCK_AT, LockClass.TEST_A);
  engines[0].lock(LOCK_AT);
  memory.store(LOCK_AT, 0);
  expect(() => engines[0].unlock(LOCK_AT)).toThrow("cpu 0: unlock of a queued lock whose locked byte is 0");
});
