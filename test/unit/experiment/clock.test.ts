/** The two clocks: which settings belong to which, and what a plan makes of a wish by either, or by both. */
import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { clockOf, runSeconds, simulationOf } from "../../../src/experiment/clock.ts";
import { planSweep, type SweepWish } from "../../../src/experiment/plan.ts";
import { splitSettings } from "../../../src/experiment/settings.ts";
import { resolveConfig } from "../../../src/machine/config.ts";

const wish: SweepWish = {
  workload: "page-repeat",
  description: null,
  cpus: [64, 1, 64],
  machine: { mode: "virtual" },
  options: {},
};

describe("a machine of simulated time", () => {
  test("has the sockets, nodes and caches of its profile, unless the user has others", () => {
    const { topology, profile } = resolveConfig({ cpus: 26, mode: "virtual" });
    expect(profile?.machine).toMatchObject({ nodes: topology.nodes, sockets: topology.sockets });
    expect(topology.cacheSliceBytes).toBe(Math.floor((profile?.machine.cacheBytes ?? 0) / 26));
    const own = resolveConfig({ cpus: 26, mode: "virtual", nodes: 2 });
    expect(own.topology).toMatchObject({ nodes: 2, sockets: 1 });
    expect(resolveConfig({ cpus: 256, mode: "virtual" }).topology.nodes).toBe(topology.nodes);
  });

  test.each([
    [{ profile: "xeon-gold-5320" }, "profile"],
    [{ slack: 0 }, "slack"],
    [{ switch: "all" as const }, "switch"],
    [{ cacheLines: false, mode: "explore" as const }, "cacheLines"],
  ])("%j has no meaning by another clock", (config, key) => {
    expect(() => resolveConfig({ cpus: 1, ...config })).toThrow(
      new RegExp(`^${key}: needs simulated time, mode "virtual" \\(--mode virtual\\); the mode is "`),
    );
  });

  test("its settings may come apart from the mode, and are checked all the same", () => {
    const given = (key: string, value: string): unknown => splitSettings([{ key, value }], null).machine;
    expect(given("slack", "200")).toEqual({ slack: 200 });
    expect(() => given("switch", "some")).toThrow('switch: "some" is not valid; valid are marked, all');
    expect(() => given("profile", "abacus")).toThrow(
      /profile: "abacus" is not valid; valid are xeon-gold-5320/,
    );
  });
});

describe("a plan", () => {
  test("in simulated time has one short run a row", () => {
    expect(planSweep(wish)).toMatchObject({ cpus: [1, 64], repeats: 1, seconds: 0.0005 });
    expect(planSweep({ ...wish, seconds: 0.0007, repeats: 2 })).toMatchObject({
      repeats: 2,
      seconds: 0.0007,
    });
    expect(planSweep({ ...wish, machine: {} })).toMatchObject({ repeats: 3, seconds: 1 });
  });

  test("of both clocks gives each its own length, and the host's no more CPUs than cores", () => {
    const { variants } = planSweep({ ...wish, compare: "mode=parallel,virtual", machine: {}, seconds: 0.3 });
    const cores = availableParallelism();
    expect(variants).toMatchObject([
      { cpus: [1, 64].filter((n) => n <= cores), repeats: 3, seconds: 0.3 },
      { cpus: [1, 64], repeats: 1, seconds: 0.0005 },
    ]);
  });

  test("of both clocks keeps the settings of simulated time from the host's", () => {
    const machine = { profile: "xeon-8375c-2s", seed: 7 };
    const plan = planSweep({ ...wish, compare: "mode=parallel,virtual", machine });
    expect(plan.machine).toEqual({ seed: 7 });
    expect(plan.variants.map(({ label, machine: own }) => [label, own])).toEqual([
      ["this computer", { mode: "parallel" }],
      ["simulated xeon-8375c-2s", { profile: "xeon-8375c-2s", mode: "virtual" }],
    ]);
  });

  test.each([
    [{ seconds: 0.000001 }, "seconds: 0.000001 is not valid; valid are 0.00001 to 10 of simulated time"],
    [{ seconds: 0.005, machine: {} }, "seconds: 0.005 is not valid; valid are 0.01 to 3600"],
    [
      { machine: { mode: "explore" as const } },
      'mode: "explore" is not valid here; valid are parallel and virtual',
    ],
    [{ compare: "mode=virtual,explore" }, 'mode: "explore" is not valid here'],
    [{ compare: "slack=0,200", machine: {} }, "slack: needs simulated time"],
  ])("%j is refused", (change, message) => {
    expect(() => planSweep({ ...wish, ...change })).toThrow(message);
  });
});

test("a report knows whose clock it is by", () => {
  expect(simulationOf({})).toBeNull();
  expect(simulationOf({ mode: "virtual" })).toMatchObject({ profile: "xeon-gold-5320", maxCpus: 26 });
  expect(clockOf({})).toBe("parallel");
  expect(runSeconds("virtual", undefined)).toBe(0.0005);
});
