import { describe, expect, test } from "vitest";
import { WaitQueueEntry } from "../../../src/sync/wait-queue.ts";
import { type SyncParts, syncOnOneThread } from "../../support/sync-parts.ts";

const QUEUE = 1024;
const FLAG = 1056;
const ENTRY = 1088;

function fixture(cpus: number, during: (cpu: number) => void = () => {}): SyncParts[] {
  const parts = syncOnOneThread(cpus, during);
  parts[0].waitQueues.format(QUEUE);
  return parts;
}

/** Which of the CPUs are still queued, each taken off. */
const stillQueued = (parts: SyncParts[]): number[] =>
  parts.filter((p) => p.waitQueues.finishWait(QUEUE)).map((p) => p.cpu.id);

describe("waiting for an event", () => {
  test("that has happened does not wait", () => {
    const [{ waitQueues }] = fixture(1);
    waitQueues.waitEvent(QUEUE, () => true);
    waitQueues.check(QUEUE);
  });

  test("ends when another CPU makes it true and wakes", () => {
    let waits = 0;
    const parts = fixture(2, () => {
      if (++waits !== 300) return;
      parts[1].cpu.memory.store(FLAG, 1);
      parts[1].waitQueues.wake(QUEUE);
    });
    const { memory } = parts[0].cpu;
    parts[0].waitQueues.waitEvent(QUEUE, () => memory.load(FLAG) === 1);
    expect(waits).toBeGreaterThanOrEqual(300);
    parts[0].waitQueues.check(QUEUE);
  });

  test("goes on when it is woken for nothing, exclusive or not", () => {
    let waits = 0;
    const parts = fixture(2, () => {
      if (++waits % 10 !== 0) return;
      if (waits === 50) parts[1].cpu.memory.store(FLAG, 1);
      parts[1].waitQueues.wake(QUEUE);
    });
    const { memory } = parts[0].cpu;
    parts[0].waitQueues.waitEventExclusive(QUEUE, () => memory.load(FLAG) === 1);
    expect(waits).toBe(50);
  });

  test("with a limit says whether it came", () => {
    let now = 0;
    const parts = fixture(2, () => {
      now += 1000;
    });
    const [{ cpu, waitQueues }] = parts;
    cpu.turn.nowNs = () => now;
    expect(waitQueues.waitEventTimeout(QUEUE, () => false, 500_000)).toBe(false);
    expect(now).toBeGreaterThanOrEqual(500_000);
    // The last look counts: the event came while the time ran out.
    expect(waitQueues.waitEventTimeout(QUEUE, () => now >= 1_000_000, 300_000)).toBe(true);
    waitQueues.check(QUEUE);
  });

  test("is forbidden where sleeping is", () => {
    const [{ waitQueues, cpu }] = fixture(1);
    cpu.preemptDisable();
    expect(() => waitQueues.waitEvent(QUEUE, () => true)).toThrow("invalid context at wait_event");
  });
});

describe("waking", () => {
  test("reaches all that are not exclusive, and as many exclusive ones as asked, in order", () => {
    const parts = fixture(6);
    for (const cpu of [3, 4, 5]) parts[cpu].waitQueues.prepareToWait(QUEUE, true);
    for (const cpu of [1, 2]) parts[cpu].waitQueues.prepareToWait(QUEUE, false);
    parts[0].waitQueues.wake(QUEUE);
    expect(stillQueued(parts)).toEqual([4, 5]);
    for (const cpu of [3, 4, 5]) parts[cpu].waitQueues.prepareToWait(QUEUE, true);
    parts[0].waitQueues.wake(QUEUE, 2);
    expect(stillQueued(parts)).toEqual([5]);
    for (const cpu of [1, 3, 4]) parts[cpu].waitQueues.prepareToWait(QUEUE, cpu > 1);
    parts[0].waitQueues.wakeAll(QUEUE);
    expect(stillQueued(parts)).toEqual([]);
    parts[0].waitQueues.check(QUEUE);
  });

  test("is not used up by a task that runs", () => {
    const parts = fixture(3);
    for (const cpu of [1, 2]) parts[cpu].waitQueues.prepareToWait(QUEUE, true);
    parts[1].waitQueues.sleepers.cancel();
    parts[0].waitQueues.wake(QUEUE);
    expect(stillQueued(parts)).toEqual([1]);
  });

  test("calls an entry's own function with the key; its verdict may end the walk", () => {
    const parts = fixture(2);
    const [{ waitQueues, functions }, other] = parts;
    const seen: number[] = [];
    let verdict = 1;
    const id = functions.register("on_wake", (_cpu, entry, key) => {
      seen.push(entry, key);
      return verdict;
    });
    other.waitQueues.prepareToWait(QUEUE, true);
    waitQueues.addEntry(QUEUE, ENTRY, id);
    verdict = -1;
    waitQueues.wake(QUEUE, 1, 7);
    expect(seen).toEqual([ENTRY, 7]);
    expect(other.waitQueues.stillWaits(QUEUE)).toBe(true);
    verdict = 0;
    waitQueues.wake(QUEUE, 1, 8);
    expect(other.waitQueues.stillWaits(QUEUE)).toBe(false);
    waitQueues.removeEntry(QUEUE, ENTRY);
    other.waitQueues.finishWait(QUEUE);
    waitQueues.check(QUEUE);
  });
});

describe("the check", () => {
  test("finds entries at rest, and an order that starves", () => {
    const parts = fixture(3);
    parts[1].waitQueues.prepareToWait(QUEUE, true);
    expect(() => parts[0].waitQueues.check(QUEUE)).toThrow("wait queue at word 1024: 1 entries at rest");
    parts[2].waitQueues.prepareToWait(QUEUE, true);
    const second = parts[0].slots.waitEntries.of(2);
    parts[0].cpu.memory.write(second + WaitQueueEntry.flags, 0);
    expect(() => parts[0].waitQueues.check(QUEUE)).toThrow(`entry ${second} lies behind an exclusive one`);
    parts[0].cpu.memory.write(second + 1, 0);
    expect(() => parts[0].waitQueues.check(QUEUE)).toThrow(/entry \d+ has prev 0/);
  });
});
