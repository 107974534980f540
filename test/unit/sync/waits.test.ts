import { describe, expect, test } from "vitest";
import { Vector } from "../../../src/hardware/vectors.ts";
import { Barrier } from "../../../src/sync/barrier.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { Semaphore } from "../../../src/sync/semaphore.ts";
import { type SyncParts, syncOnOneThread } from "../../support/sync-parts.ts";

const AT = 1024;
const MUTEX = 1088;

/** `during` is called in the waits of CPU 0, at the 300th time and on: it has parked. */
function fixture(cpus: number, during: (parts: SyncParts[], time: number) => void = () => {}) {
  let waits = 0;
  const parts: SyncParts[] = syncOnOneThread(cpus, (cpu) => {
    if (cpu === 0 && ++waits >= 300) during(parts, waits - 300);
  });
  let now = 0;
  parts[0].cpu.turn.nowNs = () => {
    now += 1000;
    return now;
  };
  return parts;
}

describe("completions", () => {
  test("let as many pass as were completed, before or after", () => {
    const parts = fixture(2, ([, other], time) => {
      if (time === 0) other.completions.complete(AT);
    });
    const [{ completions }] = parts;
    completions.format(AT);
    completions.complete(AT);
    completions.complete(AT);
    expect(completions.isDone(AT)).toBe(true);
    expect(completions.wait(AT)).toBe(true);
    expect(completions.tryWait(AT)).toBe(true);
    expect(completions.tryWait(AT)).toBe(false);
    expect(completions.isDone(AT)).toBe(false);
    expect(completions.wait(AT)).toBe(true);
    expect(completions.isDone(AT)).toBe(false);
  });

  test("let all pass for ever once all are completed", () => {
    const parts = fixture(2, ([, other], time) => {
      if (time === 0) other.completions.completeAll(AT);
    });
    const [{ completions }] = parts;
    completions.format(AT);
    expect([completions.wait(AT), completions.wait(AT), completions.tryWait(AT)]).toEqual([true, true, true]);
    completions.complete(AT);
    expect(completions.isDone(AT)).toBe(true);
    completions.reinit(AT);
    expect(completions.isDone(AT)).toBe(false);
  });

  test("give up after a time, and leave nothing behind", () => {
    const [{ completions, waitQueues }] = fixture(2);
    completions.format(AT);
    expect(completions.wait(AT, 100_000)).toBe(false);
    waitQueues.check(AT);
    completions.complete(AT);
    expect(completions.tryWait(AT)).toBe(true);
  });
});

describe("semaphores", () => {
  test("hand a unit to the first waiter, past everybody else", () => {
    const parts = fixture(2, ([, other], time) => {
      if (time !== 0) return;
      other.semaphores.up(AT);
      expect(other.semaphores.tryDown(AT)).toBe(false);
    });
    const [{ semaphores, cpu }] = parts;
    semaphores.format(AT, 2);
    semaphores.down(AT);
    expect(semaphores.tryDown(AT)).toBe(true);
    expect(semaphores.tryDown(AT)).toBe(false);
    semaphores.down(AT);
    expect(cpu.memory.read(AT + Semaphore.count)).toBe(0);
    semaphores.up(AT);
    semaphores.check(AT);
    expect(cpu.memory.read(AT + Semaphore.count)).toBe(1);
  });

  test("give up after a time", () => {
    const [{ semaphores }] = fixture(1);
    semaphores.format(AT, 0);
    expect(semaphores.downTimeout(AT, 100_000)).toBe(-62);
    semaphores.check(AT);
    semaphores.up(AT);
    expect(semaphores.downTimeout(AT, 100_000)).toBe(0);
  });

  test("may be given back by an interrupt handler", () => {
    const parts = fixture(2, ([, other], time) => {
      if (time === 0) other.cpu.sendInterrupt(0, Vector.USER_0);
    });
    const [{ semaphores, cpu }] = parts;
    semaphores.format(AT, 0);
    cpu.onInterrupt(Vector.USER_0, () => semaphores.up(AT));
    semaphores.down(AT);
    semaphores.check(AT);
  });

  test("misuse and broken invariants are bugs", () => {
    let seen = "";
    const parts = fixture(2, ([, other], time) => {
      if (time === 0) {
        try {
          other.semaphores.check(AT);
        } catch (error) {
          seen = String(error);
        }
        other.cpu.memory.write(AT + Semaphore.count, 1);
        expect(() => other.semaphores.check(AT)).toThrow("semaphore at word 1024: count 1 with 1 waiters");
        other.semaphores.up(AT);
      }
    });
    const [{ semaphores }] = parts;
    expect(() => semaphores.format(AT, -1)).toThrow("semaphore at word 1024: count -1");
    semaphores.format(AT, 0);
    semaphores.down(AT);
    expect(seen).toContain("semaphore at word 1024: 1 waiters at rest");
  });
});

describe("conditions", () => {
  test("a signal between giving the mutex away and sleeping is not lost", () => {
    const parts = fixture(2);
    const [{ conditions, mutexes }, other] = parts;
    conditions.format(AT);
    mutexes.format(MUTEX, LockClass.TEST_A);
    mutexes.lock(MUTEX);
    const unlock = mutexes.unlock.bind(mutexes);
    mutexes.unlock = (at) => {
      unlock(at);
      other.conditions.signal(AT);
    };
    expect(conditions.wait(AT, MUTEX)).toBe(true);
    conditions.check(AT);
    unlock(MUTEX);
  });

  test("wait gives the mutex away meanwhile and has it again afterwards; a wake-up for nothing does not end it", () => {
    let steps = 0;
    const parts = fixture(3, ([me, other], time) => {
      steps = time;
      if (time === 0) {
        other.mutexes.lock(MUTEX);
        other.mutexes.unlock(MUTEX);
        me.waitQueues.sleepers.cancel();
      }
      if (time === 20) other.conditions.broadcast(AT);
    });
    const [{ conditions, mutexes }] = parts;
    conditions.format(AT);
    mutexes.format(MUTEX, LockClass.TEST_A);
    mutexes.lock(MUTEX);
    expect(conditions.wait(AT, MUTEX)).toBe(true);
    expect(steps).toBe(20);
    expect(mutexes.tryLock(MUTEX)).toBe(false);
    mutexes.unlock(MUTEX);
  });

  test("wait gives up after a time, and a later signal is for others", () => {
    const [{ conditions, mutexes }] = fixture(1);
    conditions.format(AT);
    mutexes.format(MUTEX, LockClass.TEST_A);
    mutexes.lock(MUTEX);
    expect(conditions.wait(AT, MUTEX, 100_000)).toBe(false);
    conditions.check(AT);
    mutexes.unlock(MUTEX);
  });
});

describe("barriers", () => {
  test("let all go when the last has come, who is told so; and may be used again", () => {
    const leaders: boolean[] = [];
    const parts = fixture(2, ([, other], time) => {
      if (time === 0 || time === 700) leaders.push(other.barriers.wait(AT));
    });
    const [{ barriers, cpu }] = parts;
    barriers.format(AT, 2);
    expect(barriers.wait(AT)).toBe(false);
    expect(leaders).toEqual([true]);
    expect(cpu.memory.read(AT + Barrier.generation)).toBe(1);
    barriers.check(AT);
    cpu.memory.write(AT + Barrier.arrived, 1);
    expect(() => barriers.check(AT)).toThrow("barrier at word 1024: 1 tasks wait at rest");
    cpu.memory.write(AT + Barrier.arrived, 2);
    expect(() => barriers.wait(AT)).toThrow("barrier at word 1024: 3 tasks at a barrier for 2");
    expect(() => barriers.format(AT, 0)).toThrow("barrier at word 1024: 0 parties");
  });
});

describe("once", () => {
  test("runs its initialiser one time, here or there", () => {
    const [a, b] = fixture(2);
    let runs = 0;
    a.onces.format(AT);
    expect(a.onces.call(AT, () => void runs++)).toBe(true);
    expect(b.onces.call(AT, () => void runs++)).toBe(false);
    expect(b.onces.isDone(AT)).toBe(true);
    expect(runs).toBe(1);
  });

  test("one that throws has not run", () => {
    const [{ onces }] = fixture(1);
    onces.format(AT);
    expect(() =>
      onces.call(AT, () => {
        throw new Error("no luck");
      }),
    ).toThrow("no luck");
    expect(onces.isDone(AT)).toBe(false);
    expect(onces.call(AT, () => {})).toBe(true);
  });

  test("a second caller waits for the first; a throw makes it the next to try", () => {
    for (const throws of [false, true]) {
      let waited = 0;
      const parts = fixture(2, ([, other], time) => {
        waited = time;
        if (time === 5) {
          other.cpu.memory.store(AT, throws ? 0 : 1);
          other.cpu.memory.wake(AT);
        }
      });
      const [{ onces, cpu }] = parts;
      onces.format(AT);
      cpu.memory.store(AT, 2 + 1);
      expect(onces.call(AT, () => {})).toBe(throws);
      expect(waited).toBe(5);
      expect(onces.isDone(AT)).toBe(true);
    }
  });

  test("an initialiser that calls itself is a bug", () => {
    const [{ onces }] = fixture(1);
    onces.format(AT);
    expect(() => onces.call(AT, () => void onces.call(AT, () => {}))).toThrow(
      "once at word 1024: its initialiser calls it again on cpu 0",
    );
  });
});
