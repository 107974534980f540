import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallbackList, Callbacks, RcuHead } from "../../../src/sync/rcu-callbacks.ts";
import { soloCpu } from "../../support/solo.ts";

const { memory } = soloCpu();
const LIST = 1024;
const OTHER = 1088;
const HEADS = 2048;

/** The same list as an array: each callback with the grace period it waits for, Infinity for none yet. */
class Model {
  entries: { head: number; seq: number }[] = [];
  advance(seq: number): void {
    for (const e of this.entries) if (e.seq <= seq) e.seq = 0;
  }
  accelerate(seq: number): void {
    for (const e of this.entries) if (e.seq > seq) e.seq = seq;
  }
  takeReady(): number[] {
    const ready = this.entries.filter((e) => e.seq === 0).map((e) => e.head);
    this.entries = this.entries.filter((e) => e.seq !== 0);
    return ready;
  }
}

function chain(first: number): number[] {
  const found: number[] = [];
  for (let head = first; head !== 0; head = memory.read(head + RcuHead.next)) found.push(head);
  return found;
}

describe("the segmented callback list", () => {
  test("behaves as an array of (callback, grace period)", () => {
    const step = fc.oneof(
      fc.constant("enqueue" as const),
      fc.constant("entrain" as const),
      fc.constant("advance" as const),
      fc.constant("accelerate" as const),
      fc.constant("take" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const callbacks = new Callbacks(memory, LIST);
        callbacks.format();
        const model = new Model();
        let seq = 0;
        let head = HEADS;
        for (const what of steps) {
          if (what === "enqueue") {
            callbacks.enqueue(head);
            model.entries.push({ head, seq: Infinity });
            head += 2;
          } else if (what === "entrain") {
            callbacks.entrain(head);
            model.entries.push({ head, seq: model.entries.at(-1)?.seq ?? 0 });
            head += 2;
          } else if (what === "advance") {
            seq += 4;
            callbacks.advance(seq);
            model.advance(seq);
          } else if (what === "accelerate") {
            callbacks.accelerate(seq + 8);
            model.accelerate(seq + 8);
          } else {
            const taken = chain(callbacks.takeReady());
            expect(taken).toEqual(model.takeReady());
            callbacks.shrink(taken.length);
          }
          callbacks.check("list");
          expect(callbacks.length).toBe(model.entries.length);
          expect(callbacks.isReady).toBe(model.entries.some((e) => e.seq === 0));
          expect(callbacks.hasUnassigned).toBe(model.entries.some((e) => e.seq === Infinity));
          const waiting = model.entries.filter((e) => e.seq > 0 && e.seq < Infinity);
          expect(callbacks.isWaiting).toBe(waiting.length > 0);
          if (waiting.length > 0) expect(callbacks.lastSeq).toBe(waiting.at(-1)?.seq);
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test("callbacks that were taken and not run come back in front", () => {
    const callbacks = new Callbacks(memory, LIST);
    callbacks.format();
    for (let i = 0; i < 5; i++) callbacks.enqueue(HEADS + 2 * i);
    callbacks.accelerate(4);
    callbacks.advance(4);
    const taken = chain(callbacks.takeReady());
    callbacks.enqueue(HEADS + 100);
    callbacks.putBackReady(taken[2]);
    callbacks.shrink(2);
    callbacks.check("list");
    expect(chain(callbacks.takeReady())).toEqual(taken.slice(2));
    expect(callbacks.isReady).toBe(false);
    expect(callbacks.hasUnassigned).toBe(true);
  });

  test("a list that is adopted waits anew, behind the callbacks that are there", () => {
    const [own, other] = [new Callbacks(memory, LIST), new Callbacks(memory, OTHER)];
    own.format();
    other.format();
    own.enqueue(HEADS);
    own.accelerate(4);
    other.enqueue(HEADS + 2);
    other.accelerate(4);
    own.adopt(other);
    own.check("own");
    other.check("other");
    expect([own.length, other.length]).toEqual([2, 0]);
    own.advance(4);
    expect(chain(own.takeReady())).toEqual([HEADS]);
    expect(own.hasUnassigned).toBe(true);
    own.adopt(other);
    expect(own.length).toBe(2);
  });

  test("the check finds a wrong length, a lost tail and segments out of order", () => {
    const callbacks = new Callbacks(memory, LIST);
    const start = (): void => {
      callbacks.format();
      for (let i = 0; i < 3; i++) callbacks.enqueue(HEADS + 2 * i);
    };
    start();
    memory.write(LIST + CallbackList.length, 4);
    expect(() => callbacks.check("list")).toThrow("list: 3 callbacks, its length is 4");
    memory.write(LIST + CallbackList.length, 2);
    expect(() => callbacks.check("list")).toThrow("list: more callbacks than its length 2");
    start();
    memory.write(HEADS + 2 + RcuHead.next, 0);
    expect(() => callbacks.check("list")).toThrow("list: the list ends before the tail of segment 3");
    callbacks.format();
    callbacks.enqueue(HEADS);
    callbacks.accelerate(4);
    callbacks.enqueue(HEADS + 2);
    callbacks.accelerate(8);
    callbacks.check("list");
    memory.write(LIST + CallbackList.gpSeq + 2, 0);
    expect(() => callbacks.check("list")).toThrow(
      "list: segment NEXT_READY waits for grace period 0, WAIT for 4",
    );
  });
});
