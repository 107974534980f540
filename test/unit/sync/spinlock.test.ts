import { describe, expect, test } from "vitest";
import { KernelBug } from "../../../src/memory/bug.ts";
import type { LockKind } from "../../../src/memory/shape.ts";
import type { CreateLock } from "../../../src/sync/custom-lock.ts";
import { LOCK_CLASSES, LockClass } from "../../../src/sync/lock-class.ts";
import { sumLockStats } from "../../../src/sync/lock-stat.ts";
import { checkSpinLocks, REFUSED, SpinLock, type SpinLockOptions } from "../../../src/sync/spinlock.ts";
import { LOCK_AT, soloLocks } from "../../support/solo-locks.ts";

const exchangeLock: CreateLock = (_cpu, memory) => ({
  lock: (word) => {
    while (memory.exchange(word, 1) !== 0) memory.waitWhile(word, -1, 1);
  },
  tryLock: (word) => memory.exchange(word, 1) === 0,
  unlock: (word) => {
    memory.store(word, 0);
    memory.wake(word);
  },
});

const kinds: readonly (SpinLockOptions & { kind: LockKind; stepped?: boolean })[] = [
  { kind: "pv", stepped: true },
  { kind: "tas" },
  { kind: "ticket" },
  { kind: "queued" },
  { kind: "pv" },
  { kind: "custom", createLock: exchangeLock },
];

describe.each(kinds)("spinlock of kind $kind, stepped: $stepped", (options) => {
  test("is held by who took it, refused to others, free after unlock", () => {
    const { engines, memory, cpu, slots, cpus } = soloLocks(options);
    const [a, b] = engines;
    a.format(LOCK_AT, LockClass.TEST_A);
    for (let round = 0; round < 3; round++) {
      a.lock(LOCK_AT);
      expect(a.isHeldHere(LOCK_AT)).toBe(true);
      expect(b.isHeldHere(LOCK_AT)).toBe(false);
      expect(cpu.preemptCount).toBe(1);
      expect(b.tryLock(LOCK_AT)).toBe(false);
      a.assertHeld(LOCK_AT);
      a.unlock(LOCK_AT);
      expect(cpu.preemptCount).toBe(0);
      expect(b.tryLock(LOCK_AT)).toBe(true);
      b.unlock(LOCK_AT);
    }
    expect(memory.read(LOCK_AT + SpinLock.owner)).toBe(0);
    checkSpinLocks(memory, slots, cpus);
    expect(sumLockStats(memory, slots, cpus)).toMatchObject([
      { name: "test_a", acquisitions: 6, contended: 0, waitNs: 0 },
    ]);
  });

  test("the irq forms save, disable and restore the interrupt flag", () => {
    const { engines, cpu } = soloLocks(options);
    const [a, b] = engines;
    a.format(LOCK_AT, LockClass.TEST_A);
    const flags = a.lockIrqSave(LOCK_AT);
    expect(cpu.irqsEnabled).toBe(false);
    expect(b.tryLockIrqSave(LOCK_AT)).toBe(REFUSED);
    a.unlockIrqRestore(LOCK_AT, flags);
    expect(cpu.irqsEnabled).toBe(true);
    a.lockIrq(LOCK_AT);
    expect(cpu.irqsEnabled).toBe(false);
    a.unlockIrq(LOCK_AT);
    expect(cpu.irqsEnabled).toBe(true);
    cpu.irqDisable();
    a.unlockIrqRestore(LOCK_AT, a.tryLockIrqSave(LOCK_AT));
    expect(cpu.irqsEnabled).toBe(false);
  });

  test("locking it twice, and unlocking what is not held, are bugs that name lock and CPU", () => {
    const { engines } = soloLocks(options);
    const [a, b] = engines;
    a.format(LOCK_AT, LockClass.ZONE);
    expect(() => a.unlock(LOCK_AT)).toThrow("cpu 0 does not hold &zone->lock at 0x1000");
    a.lock(LOCK_AT);
    expect(() => a.lock(LOCK_AT)).toThrow(/cpu 0: locks &zone->lock at 0x1000 .*held by cpu 0.* again/);
    expect(() => b.unlock(LOCK_AT)).toThrow(/cpu 1 does not hold .*held by cpu 0/);
    expect(() => b.assertHeld(LOCK_AT)).toThrow(KernelBug);
  });
});

test("a class without a name is refused", () => {
  const { engines } = soloLocks();
  expect(() => engines[0].format(LOCK_AT, LOCK_CLASSES)).toThrow(`lock class ${LOCK_CLASSES} has no name`);
});
