import { describe, expect, test } from "vitest";
import { type RunRequest, type SweepPlan, sweep } from "../../../src/experiment/sweep.ts";
import { evenShares, runResult } from "../../support/run-results.ts";

const plan: SweepPlan = {
  workload: "page-bulk",
  cpus: [1, 2],
  repeats: 2,
  variants: [{ label: "", settings: {}, machine: {}, options: {} }],
  machine: { memory: "64MiB" },
  options: { order: 3 },
  seed: 5,
  seconds: 1,
  check: true,
};

const lists = (value: "6.12" | "off") => ({
  label: value,
  settings: { pageLists: value },
  machine: { pageLists: value },
  options: {},
});

/** Answers each request with 100 operations a CPU and second, and keeps it. */
function recorder(change: (request: RunRequest, index: number) => object = () => ({})) {
  const requests: RunRequest[] = [];
  const run = async (request: RunRequest) => {
    requests.push(request);
    return runResult(evenShares(request.machine.cpus ?? 1, 100, 1e9), change(request, requests.length - 1));
  };
  return { requests, run };
}

describe("sweep", () => {
  test("warms up each row, then repeats it with seeds of its own; warm-ups are short, unchecked and not counted", async () => {
    const { requests, run } = recorder();
    const progress: number[] = [];
    const outcome = await sweep(plan, { run, onProgress: ({ done, total }) => progress.push(done / total) });
    expect(requests.map((r) => [r.machine.cpus, r.seconds, r.machine.seed, r.check])).toEqual([
      [1, 0.25, 5, false],
      [1, 1, 5, true],
      [1, 1, 6, true],
      [2, 0.25, 5, false],
      [2, 1, 5, true],
      [2, 1, 6, true],
    ]);
    expect(requests[0]).toMatchObject({ machine: { memory: "64MiB" }, options: { order: 3 } });
    expect(outcome.variants[0].rows.map((row) => row.runs.length)).toEqual([2, 2]);
    expect(outcome.variants[0].rows[1].phases[0].speedUp).toBeCloseTo(2);
    expect(outcome.interrupted).toBe(false);
    expect(progress).toEqual([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]);
  });

  test("simulated time needs no warm-up, and begins with the largest machine", async () => {
    const { requests, run } = recorder();
    const outcome = await sweep({ ...plan, machine: { mode: "virtual" } }, { run });
    expect(requests.map((r) => [r.machine.cpus, r.machine.seed])).toEqual([
      [2, 5],
      [2, 6],
      [1, 5],
      [1, 6],
    ]);
    expect(outcome.variants[0].rows.map((row) => row.cpus)).toEqual([1, 2]);
    expect(outcome).toMatchObject({ variants: [{ mode: "virtual" }], othersShare: null });
  });

  test("of both clocks the host's runs first, each variant with its own counts, length and repeats", async () => {
    const { requests, run } = recorder();
    const variant = (mode: "parallel" | "virtual", own: object) => ({
      label: mode,
      settings: { mode },
      machine: { mode },
      options: {},
      ...own,
    });
    const variants = [
      variant("virtual", { cpus: [1, 2], repeats: 1, seconds: 0.001 }),
      variant("parallel", { cpus: [1] }),
    ];
    const outcome = await sweep({ ...plan, variants }, { run });
    expect(requests.map((r) => [r.machine.mode, r.machine.cpus, r.seconds])).toEqual([
      ["parallel", 1, 0.25],
      ["parallel", 1, 1],
      ["parallel", 1, 1],
      ["virtual", 2, 0.001],
      ["virtual", 1, 0.001],
    ]);
    expect(outcome.variants.map(({ mode, seconds, repeats }) => [mode, seconds, repeats])).toEqual([
      ["virtual", 0.001, 1],
      ["parallel", 1, 2],
    ]);
  });

  test("the seed after the last one is 0", async () => {
    const { requests, run } = recorder();
    await sweep({ ...plan, cpus: [1], seed: 0xffffffff }, { run });
    expect(requests.map((r) => r.machine.seed)).toEqual([0xffffffff, 0xffffffff, 0]);
  });

  test("runs of operations are warmed up in full, and have no time", async () => {
    const { requests, run } = recorder();
    const { seconds: _, ...timeless } = plan;
    await sweep({ ...timeless, operations: 1000, cpus: [1], repeats: 1 }, { run });
    expect(requests.map((r) => [r.operations, r.seconds])).toEqual([
      [1000, undefined],
      [1000, undefined],
    ]);
  });

  test("variants take turns, in alternating order", async () => {
    const { requests, run } = recorder();
    const outcome = await sweep({ ...plan, cpus: [1], variants: [lists("6.12"), lists("off")] }, { run });
    expect(requests.map((r) => r.machine.pageLists)).toEqual(["off", "6.12", "6.12", "off", "off", "6.12"]);
    expect(outcome.variants.map((v) => [v.label, v.rows[0].runs.length])).toEqual([
      ["6.12", 2],
      ["off", 2],
    ]);
  });

  test("stops on the signal and keeps what was measured, the run under way included", async () => {
    const stop = new AbortController();
    const { requests, run } = recorder((_, index) => {
      if (index === 4) stop.abort();
      return { interrupted: stop.signal.aborted };
    });
    const outcome = await sweep(plan, { run, signal: stop.signal });
    expect(requests).toHaveLength(5);
    expect(outcome.interrupted).toBe(true);
    expect(outcome.variants[0].rows.map((row) => row.runs.map((r) => r.cutShort))).toEqual([
      [false, false],
      [true],
    ]);
  });

  test("stops at the first fault, a warm-up's too", async () => {
    const fault = { kind: "bug", cpu: 0, message: "broken", stack: "", report: "" };
    const { requests, run } = recorder((request) => (request.machine.cpus === 2 ? { fault } : {}));
    const outcome = await sweep(plan, { run });
    expect(requests).toHaveLength(4);
    expect(outcome.variants[0].rows.map((row) => row.fault?.message)).toEqual([undefined, "broken"]);
  });
});
