import { parseHTML } from "linkedom";
import { expect, test } from "vitest";
import { timelineOf } from "../../../src/experiment/html-timeline.ts";
import { chromeTrace } from "../../../src/experiment/trace-export.ts";
import { TraceEvent, type TraceRecord } from "../../../src/memory/trace.ts";

const E = TraceEvent;
const at = (timeNs: number, code: number, a = 0, b = 0): TraceRecord => ({ timeNs, code, a, b });
const traceOf = (...cpus: TraceRecord[][]) =>
  chromeTrace(
    cpus.map((records, cpu) => ({ cpu, records, dropped: false })),
    {
      title: "test",
      names: { lock: (n) => `<lock ${n}>`, vector: String, phase: String },
      about: {},
    },
  );

test("a lane a CPU, bars by kind, an arrow for each interrupt; all text escaped", () => {
  const timeline = timelineOf(
    traceOf(
      [at(0, E.PHASE_BEGIN), at(10_000, E.IPI_SEND, 1, 2), at(90_000, E.PHASE_END)],
      [
        at(0, E.PHASE_BEGIN),
        at(5000, E.LOCK_WAIT_BEGIN, 3),
        at(20_000, E.IRQ_ENTER, 2),
        at(22_000, E.IRQ_EXIT, 2),
        at(60_000, E.LOCK_WAIT_END, 3),
        at(60_000, E.LOCK_HELD_BEGIN, 3, 7),
        at(70_000, E.LOCK_HELD_END, 3, 7),
        at(90_000, E.PHASE_END),
      ],
    ),
  );
  const { document } = parseHTML(`<body>${timeline?.svg}</body>`);
  const titles = [...document.querySelectorAll("rect title")].map((title) => title.textContent);
  expect(titles).toEqual([
    "0: 90.0 µs",
    "0: 90.0 µs",
    "wait <lock 3>: 55.0 µs",
    "irq 2: 2.00 µs",
    "hold <lock 3>: 10.0 µs",
  ]);
  expect(document.querySelector("path title")?.textContent).toBe("interrupt to CPU 1: 10.0 µs");
  expect([...document.querySelectorAll("text")].map((t) => t.textContent)).toEqual(
    expect.arrayContaining(["CPU 0", "CPU 1"]),
  );
  expect(timeline?.svg).not.toContain("<lock");
  expect(timeline?.caption).toContain("90.0 µs");
});

test("a busy trace is cut to its last moments", () => {
  const busy = Array.from({ length: 4000 }, (_, i) => [
    at(i * 1000, E.LOCK_WAIT_BEGIN, 1),
    at(i * 1000 + 500, E.LOCK_WAIT_END, 1),
  ]).flat();
  const timeline = timelineOf(traceOf(busy));
  const bars = timeline?.svg.match(/<rect/g)?.length ?? 0;
  expect(bars).toBeGreaterThan(1000);
  expect(bars).toBeLessThan(1600);
});

test("without events there is no picture", () => {
  expect(timelineOf(traceOf([], []))).toBeNull();
});
