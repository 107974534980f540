import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChromeEvent, chromeTrace } from "../../../src/experiment/trace-export.ts";
import { slicesOf } from "../../../src/experiment/trace-slices.ts";
import { TraceEvent, type TraceRecord } from "../../../src/memory/trace.ts";

const names = {
  lock: (n: number) => `lock${n}`,
  vector: (n: number) => `vector${n}`,
  phase: (n: number) => `phase${n}`,
};
const at = (timeNs: number, code: number, a = 0, b = 0): TraceRecord => ({ timeNs, code, a, b });
const E = TraceEvent;

const traceOf = (...cpus: TraceRecord[][]): readonly ChromeEvent[] =>
  chromeTrace(
    cpus.map((records, cpu) => ({ cpu, records, dropped: false })),
    { title: "test", names, about: {} },
  ).traceEvents;

describe("slices", () => {
  test("nest as their events do", () => {
    const slices = slicesOf(
      [
        at(0, E.PHASE_BEGIN, 1),
        at(10, E.LOCK_WAIT_BEGIN, 3, 64),
        at(12, E.PARK),
        at(18, E.RUN),
        at(20, E.LOCK_WAIT_END, 3, 64),
        at(30, E.PHASE_END, 1),
      ],
      false,
    );
    expect(slices.map((s) => [s.kind, s.startNs, s.endNs, s.cut])).toEqual([
      ["phase", 0, 30, false],
      ["lock wait", 10, 20, false],
      ["off core", 12, 18, false],
    ]);
  });

  test("whose begin the ring has lost start at the window's edge; without loss a lone end is nothing", () => {
    const records = [at(5, E.MARK), at(9, E.LOCK_WAIT_END, 1)];
    expect(slicesOf(records, true)).toMatchObject([{ kind: "lock wait", startNs: 5, endNs: 9, cut: true }]);
    expect(slicesOf(records, false)).toEqual([]);
  });

  test("that were never ended are cut where the enclosing one ends, or at the last event", () => {
    const unwound = [at(0, E.PHASE_BEGIN), at(2, E.LOCK_WAIT_BEGIN), at(7, E.PHASE_END), at(9, E.IRQ_ENTER)];
    expect(slicesOf(unwound, false)).toMatchObject([
      { kind: "phase", endNs: 7, cut: false },
      { kind: "lock wait", endNs: 7, cut: true },
      { kind: "irq", startNs: 9, endNs: 9, cut: true },
    ]);
  });

  test("always nest, whatever the records", () => {
    const codes = fc.integer({ min: 1, max: 14 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(codes, fc.integer({ min: 0, max: 5 })), { maxLength: 60 }),
        fc.boolean(),
        (events, dropped) => {
          let timeNs = 0;
          const records = events.map(([code, step]) => {
            timeNs += step;
            return at(timeNs, code);
          });
          const slices = slicesOf(records, dropped);
          for (const [i, x] of slices.entries()) {
            expect(x.startNs).toBeLessThanOrEqual(x.endNs);
            for (const y of slices.slice(i + 1)) {
              const isApart = x.endNs <= y.startNs || y.endNs <= x.startNs;
              const isInside =
                (x.startNs <= y.startNs && y.endNs <= x.endNs) ||
                (y.startNs <= x.startNs && x.endNs <= y.endNs);
              expect(isApart || isInside).toBe(true);
            }
          }
        },
      ),
    );
  });
});

describe("chrome trace", () => {
  test("has a named, ordered lane a CPU and times in microseconds from the first event", () => {
    const events = traceOf([at(5000, E.PHASE_BEGIN, 2), at(6500, E.PHASE_END, 2)], [at(5500, E.MARK, 1, 2)]);
    expect(events.filter((e) => e.name === "thread_name").map((e) => e.args?.name)).toEqual([
      "CPU 0",
      "CPU 1",
    ]);
    expect(events.filter((e) => e.name === "thread_sort_index")).toHaveLength(2);
    expect(events.find((e) => e.ph === "X")).toMatchObject({
      name: "phase2",
      cat: "phase",
      tid: 0,
      ts: 0,
      dur: 1.5,
    });
    expect(events.find((e) => e.ph === "i")).toMatchObject({ tid: 1, ts: 0.5, args: { a: 1, b: 2 } });
  });

  test("draws an arrow from each send into the handler that served it", () => {
    const events = traceOf(
      [at(100, E.IPI_SEND, 1, 2), at(150, E.IPI_SEND, 1, 2), at(900, E.IPI_SEND, 1, 2)],
      [
        at(50, E.IRQ_ENTER, 2),
        at(60, E.IRQ_EXIT, 2),
        at(400, E.IRQ_ENTER, 5),
        at(410, E.IRQ_EXIT, 5),
        at(5000, E.IRQ_ENTER, 2),
        at(5100, E.IRQ_EXIT, 2),
      ],
    );
    const starts = events.filter((e) => e.ph === "s");
    const ends = events.filter((e) => e.ph === "f");
    expect(starts.map((e) => e.id)).toEqual([1, 2, 3]);
    expect(ends.map((e) => e.id)).toEqual([1, 2, 3]);
    for (const [i, end] of ends.entries()) {
      expect(end).toMatchObject({ bp: "e", tid: 1 });
      expect(end.ts).toBeGreaterThanOrEqual(starts[i].ts!);
      const around = events.find(
        (e) =>
          e.ph === "X" &&
          e.tid === 1 &&
          e.ts! <= end.ts! &&
          end.ts! <= e.ts! + e.dur! &&
          e.name === "irq vector2",
      );
      expect(around).toBeDefined();
      expect(
        events.some((e) => e.cat === "ipi" && e.ph === "X" && e.tid === 0 && e.ts === starts[i].ts),
      ).toBe(true);
    }
  });

  test("a send that nobody served has no arrow; its slice ends before the next event", () => {
    const events = traceOf([at(0, E.IPI_SEND, 1, 2), at(30, E.PARK), at(90, E.RUN)], []);
    expect(events.filter((e) => e.ph === "s" || e.ph === "f")).toEqual([]);
    expect(events.find((e) => e.cat === "ipi")).toMatchObject({
      ts: 0,
      dur: 0.03,
      name: "send vector2 to CPU 1",
    });
  });

  test("a send from before what the target's ring remembers has no arrow: its handler is forgotten", () => {
    const handler = [at(500, E.IRQ_ENTER, 2), at(510, E.IRQ_EXIT, 2)];
    const sends = [at(100, E.IPI_SEND, 1, 2), at(500, E.IPI_SEND, 1, 2)];
    const { traceEvents } = chromeTrace(
      [
        { cpu: 0, records: sends, dropped: false },
        { cpu: 1, records: handler, dropped: true },
      ],
      { title: "test", names, about: {} },
    );
    expect(traceEvents.filter((e) => e.ph === "s").map((e) => e.ts)).toEqual([0.4]);
  });

  test("a CPU off its core is parked, or ready and without a token", () => {
    const events = traceOf([at(0, E.PARK, 0), at(5, E.RUN, 0), at(6, E.PARK, 1), at(9, E.RUN, 1)]);
    const names = events.filter((e) => e.cat === "off core").map((e) => e.name);
    expect(names).toEqual(["parked", "ready, waits for a token"]);
  });

  test("lock holds are asynchronous pairs, since they may overlap", () => {
    const events = traceOf([
      at(0, E.LOCK_HELD_BEGIN, 1, 100),
      at(1, E.LOCK_HELD_BEGIN, 2, 200),
      at(2, E.LOCK_HELD_END, 1, 100),
      at(3, E.LOCK_HELD_END, 2, 200),
      at(4, E.LOCK_HELD_END, 2, 200),
    ]);
    const holds = events.filter((e) => e.cat === "lock held");
    expect(holds.map((e) => [e.ph, e.name, e.id])).toEqual([
      ["b", "hold lock1", "0.0"],
      ["b", "hold lock2", "0.1"],
      ["e", "hold lock1", "0.0"],
      ["e", "hold lock2", "0.1"],
    ]);
    expect(holds[0].args).toEqual({ address: "0x190" });
  });

  test("of CPUs that recorded nothing is empty but for its lanes", () => {
    expect(traceOf([], []).every((e) => e.ph === "M")).toBe(true);
  });

  test("steps of an exploration are moments with address and value", () => {
    expect(traceOf([at(0, E.CAS, 16, 7)]).at(-1)).toMatchObject({
      ph: "i",
      name: "cas",
      args: { address: "0x40", value: 7 },
    });
  });
});
