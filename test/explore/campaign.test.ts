/** Campaigns: the same every time, audited, ended early, and honest about what they cannot do. */

import { resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { explore } from "../../src/machine/explore.ts";
import { formatFailure } from "../../src/machine/explore-report.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const own = (name: string): string => resolve(import.meta.dirname, `../support/scenarios/${name}.ts`);

afterAll(destroyIdlePools);

describe("a campaign", () => {
  test.each(["random", "pct", "both"] as const)(
    "is the same every time, pinned or not: %s",
    async (strategy) => {
      const settings = { strategy, executions: 400, seed: 5, hashes: true };
      const first = await explore("lost-update", settings);
      const second = await explore("lost-update", { ...settings, pin: false });
      const other = await explore("lost-update", { ...settings, seed: 6 });
      expect(first.failure).toBeNull();
      expect(first.executions).toBe(400);
      expect(second.hash).toBe(first.hash);
      expect(second.steps).toBe(first.steps);
      expect(second.switches).toBe(first.switches);
      expect(other.hash).not.toBe(first.hash);
      expect(second.pinning).toMatchObject({ pinned: false, reason: "not asked for" });
    },
  );

  test("ends on the signal and keeps what was measured", async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const result = await explore("lost-update", {
      executions: 0x7fffffff,
      signal: controller.signal,
      onProgress: ({ executions }) => {
        seen.push(executions);
        controller.abort();
      },
    });
    expect(result.interrupted).toBe(true);
    expect(result.executions).toBeGreaterThanOrEqual(seen[0]);
    expect(result.executions).toBeLessThan(0x7fffffff);
    expect(result.executionsPerSecond).toBeGreaterThan(0);
    expect(result.fault).toBeNull();
  });

  test.each([
    [{ strategy: "dfs" as never }, /strategy: "dfs" is not valid; valid are random, pct, both/],
    [{ depth: 0 }, /depth: 0 is not valid; valid are whole numbers from 1 to 10/],
    [{ depth: 11 }, /depth: 11 is not valid/],
    [{ executions: 0 }, /executions: 0 is not valid/],
    [{ seed: -1 }, /seed: -1 is not valid/],
    [{ cpus: 1 }, /cpus: 1 is not valid; valid are whole numbers from 2 to 31/],
    [{ stepLimit: 0 }, /stepLimit: 0 is not valid/],
    [
      { mutants: ["no-such"] },
      /mutant: "no-such" is not one of scenario lost-update; valid are lost-update-torn/,
    ],
  ])("refuses %o", async (options, message) => {
    await expect(explore("lost-update", options)).rejects.toThrow(message);
  });

  test("refuses what is no scenario", async () => {
    await expect(explore("no-such")).rejects.toThrow(/scenario: "no-such" is none; valid are .*lost-update/);
    await expect(explore("./no-such.ts")).rejects.toThrow(/scenario: there is no file/);
    const program = resolve(import.meta.dirname, "../support/programs/counter.ts");
    await expect(explore(program)).rejects.toThrow(/must export a function "run.*and "describe"/);
    await expect(explore(own("keeps-a-field"), { mutants: ["x"] })).rejects.toThrow(/it has none/);
  });
});

describe("an audit", () => {
  test("passes where everything is in RAM", async () => {
    const result = await explore("lost-update", { audit: true, executions: 300, seed: 3 });
    expect(result.failure).toBeNull();
    expect(result.executions).toBe(300);
  });

  test("names the execution in which something outside RAM made a difference", async () => {
    const result = await explore(own("keeps-a-field"), { audit: true, executions: 300 });
    expect(result.failure?.kind).toBe("nondeterminism");
    expect(result.failure?.title).toBe("nondeterminism");
    expect(result.failure?.message).toMatch(
      /^execution 1 went otherwise when run again.*\d+ steps, then \d+/,
    );
  });
});

describe("a failure", () => {
  test("that is a forgotten wake is a deadlock, with who waits for what", async () => {
    const { failure } = await explore(own("forgotten-wake"));
    expect(failure?.kind).toBe("deadlock");
    expect(failure?.scene.cpus[0]).toMatchObject({
      status: "waiting",
      waitsOn: "mailbox.flag",
      condition: "while it & 0x1 is 0x0 (it is 0x1)",
    });
    expect(failure?.scene.cpus[1].status).toBe("ended");
    expect(failure?.rows).toContainEqual(
      expect.objectContaining({ cpu: 1, text: "store mailbox.flag 0 -> 1", functionName: "run" }),
    );
  });

  test("that never ends is a livelock at the step limit", async () => {
    const { failure } = await explore(own("endless-spin"));
    expect(failure?.kind).toBe("limit");
    expect(failure?.message).toBe("more than 500 steps");
    expect((await explore(own("endless-spin"), { stepLimit: 90 })).failure?.steps).toBe(90);
  });

  test("that needs a timeout is found: when a time runs out is the strategy's choice", async () => {
    for (const strategy of ["random", "pct"] as const) {
      const { failure } = await explore(own("timed-wait"), { strategy });
      expect(failure?.message).toBe("the time ran out");
    }
  });

  test("tells which locks were held, and what the kernel log said", async () => {
    const { failure } = await explore(own("holds-locks"));
    const names = ["locks.mutex", "locks.sem", "locks.rwlock", "locks.spin[1]"];
    expect(failure?.scene.locks).toEqual(names.map((name) => ({ name, cpu: 0 })));
    expect(failure?.kernelLog).toEqual(["all four are held"]);
    const text = formatFailure(failure as NonNullable<typeof failure>);
    expect(text).toContain("  cpu 0 holds locks.mutex\n");
    expect(text).toContain("Kernel log:\n  all four are held\n");
    expect(text).toContain("FAILURE: bug in run\n  under four locks\n");
  });

  test("that is a write through a null pointer is a bug", async () => {
    const { failure } = await explore(own("null-pointer"));
    expect(failure?.kind).toBe("bug");
    expect(failure?.message).toBe("write through a null pointer");
  });
});
