/** Replays: the recorded failure every time, or the plain word that the program has changed. */

import { resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { explore, replay } from "../../src/machine/explore.ts";
import { formatFailure } from "../../src/machine/explore-report.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { formatSchedule, parseSchedule } from "../../src/schedule/explore/schedule-string.ts";

const own = (name: string): string => resolve(import.meta.dirname, `../support/scenarios/${name}.ts`);

afterAll(destroyIdlePools);

async function failing(scenario: string, options: Parameters<typeof explore>[1]): Promise<string> {
  const { failure } = await explore(scenario, { ...options, report: false });
  if (failure === null) throw new Error(`${scenario} did not fail`);
  return failure.schedule;
}

describe("a replay", () => {
  // All scenarios 100 times: test/explore-long.
  test.each([
    [100, "lost-update", { strategy: "random", mutants: ["lost-update-torn"] }],
    [20, "lost-update", { strategy: "pct", mutants: ["lost-update-torn"], cpus: 3 }],
    [20, own("forgotten-wake"), { strategy: "random" }],
    [20, own("endless-spin"), { strategy: "pct" }],
    [100, own("timed-wait"), { strategy: "random" }],
    [20, own("timed-wait"), { strategy: "pct" }],
  ] as const)("reproduces %i times: %s, %o", async (times, scenario, options) => {
    const result = await replay(await failing(scenario, { ...options, shrink: false }), {
      times,
      report: false,
    });
    expect(result.verdict).toBe(`reproduced ${times} times of ${times}`);
    expect(result.reproduced).toBe(times);
    expect(result.failure).not.toBeNull();
  });

  test("tells that the program diverged, and at which step", async () => {
    const recorded = await failing("lost-update", { strategy: "random", mutants: ["lost-update-torn"] });
    const schedule = parseSchedule(recorded);
    const tape = Int32Array.from(schedule.tape);
    // CPU 0 has ended long before this switch to it.
    const late = Int32Array.from([...tape, schedule.steps + 100, 0]);
    const onlyOne = { ...schedule, tape: Int32Array.from([0, 0, 400, 1]) };
    const diverged = await replay(formatSchedule(onlyOne));
    expect(diverged.verdict).toMatch(
      /^the program has changed: it diverged at step \d+: it cannot make the switch/,
    );
    expect(diverged.reproduced).toBe(0);
    const unused = await replay(formatSchedule({ ...schedule, tape: late }));
    expect(unused.verdict).toBe("reproduced");
  });

  test("tells that the program ends otherwise", async () => {
    const recorded = await failing("lost-update", { strategy: "random", mutants: ["lost-update-torn"] });
    const mended = formatSchedule({ ...parseSchedule(recorded), mutants: [] });
    expect((await replay(mended)).verdict).toMatch(/^the program has changed: it /);
    const otherEnd = formatSchedule({ ...parseSchedule(recorded), end: 1 });
    expect((await replay(otherEnd)).verdict).toBe(
      `the program has changed: it failed at step ${parseSchedule(recorded).steps} as recorded, ` +
        "but in another state or way (check)",
    );
    const otherStart = formatSchedule({ ...parseSchedule(recorded), end: 1, start: 1 });
    expect((await replay(otherStart)).verdict).toMatch(
      /RAM differs from the recording before the first step/,
    );
  });

  test("tells that the recorded failure is gone", async () => {
    const recorded = await failing(own("timed-wait"), { strategy: "random" });
    const { tape, ...rest } = parseSchedule(recorded);
    // CPU 1 first, to its end, which is where this schedule says too little; then CPU 0.
    const cut = await replay(formatSchedule({ ...rest, tape: Int32Array.from([0, 1]) }));
    const end = Number(/diverged at step (\d+)/.exec(cut.verdict)?.[1]);
    const result = await replay(formatSchedule({ ...rest, tape: Int32Array.from([0, 1, end, 0]) }));
    expect(result.verdict).toMatch(
      /^the program has changed: it ended well after \d+ steps; recorded was a failure/,
    );
    expect(tape.length).toBeGreaterThan(2);
    expect(result.failure).toBeNull();
  });

  test("refuses what is no schedule", async () => {
    await expect(replay("nonsense")).rejects.toThrow(/does not begin with "smp1:"/);
  });
});

describe("shrinking", () => {
  test.each([
    ["lost-update", "lost-update-torn", 4],
    ["rcu-callback", "rcu-callback-too-early", 12],
    ["irq-lock", "irq-lock-not-saved", 10],
  ] as const)("leaves of %s the few switches that matter", async (scenario, mutant, most) => {
    const options = { strategy: "random", mutants: [mutant], report: false } as const;
    const whole = (await explore(scenario, { ...options, shrink: false })).failure;
    const { failure } = await explore(scenario, options);
    if (failure === null || whole === null) throw new Error("no failure");
    expect(whole.shrunk).toBeNull();
    expect(failure.shrunk?.fromSwitches).toBe(whole.switches);
    expect(failure.switches).toBeLessThan(whole.switches);
    expect(failure.switches).toBeLessThanOrEqual(most);
    expect(failure.kind).toBe(whole.kind);
    expect((await replay(failure.schedule, { times: 20, report: false })).reproduced).toBe(20);
    expect((await replay(whole.schedule, { report: false })).verdict).toBe("reproduced");
  });

  test("keeps the timeouts that a failure needs", async () => {
    const { failure } = await explore(own("timed-wait"), { strategy: "random" });
    expect(failure?.message).toBe("the time ran out");
    expect(failure?.switches).toBe(1);
    expect(formatFailure(failure as NonNullable<typeof failure>)).toMatch(
      /after \d+ steps and 1 switch, shrunk from \d+ in \d+ trials/,
    );
  });
});

describe("a failure report", () => {
  test("shows the steps of all CPUs, the places by name, and the command that replays them", async () => {
    const { failure } = await explore("lost-update", { strategy: "random", mutants: ["lost-update-torn"] });
    if (failure === null) throw new Error("no failure");
    const text = formatFailure(failure);
    expect(text).toMatch(/^FAILURE: check failed in run \/ run\n {2}counter is \d+, 2 CPUs added 8\n/);
    expect(text).toMatch(/step \| cpu 0 +\| cpu 1 +\| where/);
    expect(text).toMatch(/read counter\.value = \d/);
    expect(text).toMatch(/write counter\.value \d -> \d/);
    expect(text).toMatch(/src\/scenarios\/lost-update\.ts:\d+ run/);
    expect(text).toContain(`npx smpsim replay ${failure.schedule}`);
    expect(failure.rows.map((row) => row.step)).toEqual(
      failure.rows.map((row) => row.step).toSorted((a, b) => a - b),
    );
  });
});
