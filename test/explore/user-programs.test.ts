/** A user program under many schedules: what it throws is a failure, which replays. */

import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { explore, replay } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

afterAll(destroyIdlePools);

test("a lost update of two processes is found, and repeats", async () => {
  const program = file("test/support/programs/lost-update-user.ts");
  const { failure, executions } = await explore(program, { executions: 6000 });
  if (failure === null) throw new Error(`not found in ${executions} executions`);
  expect(failure.message).toContain("task main[1000] on cpu 0: Error: an update is lost: 1");
  const again = await replay(failure.schedule, { times: 3, report: false });
  expect(again.verdict).toBe("reproduced 3 times of 3");
});

test("a process and its child are clean under every schedule that is tried", async () => {
  const result = await explore(file("examples/fork-and-copy.ts"), { executions: 200 });
  expect(result.failure?.message).toBeUndefined();
  expect(result.executions).toBe(200);
});
