/** replay-alloc: every event is replayed on the CPU that it belongs to, and everything comes back. */

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { metricOf, operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const EXAMPLE = join(import.meta.dirname, "../../../examples/kmem-trace.txt");

afterAll(destroyIdlePools);

describe.each([1, 3, 4])("on %i CPUs", (cpus) => {
  test("the sample", async () => {
    const result = await runWell({ cpus, seed: 61 }, "replay-alloc", { operations: 1 });
    const events = operationsOf(result, "replay").reduce((sum, count) => sum + count, 0);
    expect(events).toBe(400 + 400 - 23);
  });
});

test("a recorded file: what has no partner is counted", async () => {
  const options = { trace: EXAMPLE };
  const result = await runWell({ cpus: 2, seed: 62 }, "replay-alloc", { operations: 1, options });
  expect(operationsOf(result, "replay")).toEqual([9, 6]);
  expect(metricOf(result, "frees without an allocation")).toBe(1);
  expect(metricOf(result, "missing frees")).toBe(1);
});

test("what the machine has no memory for fails, and is counted; its free is passed over", async () => {
  const trace = join(mkdtempSync(join(tmpdir(), "smpsim-trace-")), "large.txt");
  const line = (time: number, event: string): string => `a-1 [000] .... 1.${time}: ${event}\n`;
  writeFileSync(
    trace,
    line(1, "mm_page_alloc: pfn=0x100 order=10 gfp_flags=GFP_KERNEL") +
      line(2, "mm_page_free: pfn=0x100 order=10"),
  );
  const config = { cpus: 1, memory: "2MiB", seed: 63 };
  const result = await runWell(config, "replay-alloc", { operations: 1, options: { trace } });
  expect(metricOf(result, "failed allocations")).toBe(1);
  expect(operationsOf(result, "replay")).toEqual([2]);
});

test("a file that is not there is named", async () => {
  const { fault } = await runOn({ cpus: 1 }, "replay-alloc", { options: { trace: "no-such-trace.txt" } });
  expect(fault?.kind).toBe("usage");
  expect(fault?.message).toMatch(/^the file .*no-such-trace.txt cannot be read: ENOENT/);
});
