/** What users see of TLBs: the report, which agrees with the machine's totals, and how far a TLB reaches. */

import { afterAll, expect, test } from "vitest";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import * as grammar from "../../support/proc-grammar.ts";
import { metricOf, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

test("the report's columns add up to the machine's counters", async () => {
  const machine = await Machine.boot({ cpus: 3, memory: "16MiB", mode: "virtual" });
  expect((await machine.run("tlb_ipis", { operations: 20 })).fault).toBe(null);
  const lines = (await machine.proc("tlb")).split("\n");
  const vmstat = grammar.parseVmstat(await machine.proc("vmstat"));
  const row = (label: string): number[] => {
    const found = lines.find((line) => line.startsWith(`${label}  `));
    return (found ?? "").slice(label.length).trim().split(/\s+/).map(Number);
  };
  const sum = (label: string): number => row(label).reduce((a, b) => a + b, 0);
  expect(lines[0].trim().split(/\s+/)).toEqual(["CPU0", "CPU1", "CPU2"]);
  expect(sum("shootdowns sent")).toBe(vmstat.get("nr_tlb_remote_flush"));
  expect(sum("shootdowns received")).toBe(vmstat.get("nr_tlb_remote_flush_received"));
  expect(sum("page faults of programs")).toBe(vmstat.get("pgfault"));
  // 1 + 1 + 2 + 1 a round, each to two others
  expect(row("shootdowns sent")[0]).toBeGreaterThanOrEqual(20 * 5);
  // the others read one page again and again, CPU 0 touches each of its pages once
  expect(row("hits, first level")[1]).toBeGreaterThan(0);
  for (const label of ["misses: page walks", "accesses that faulted"])
    expect(row(label)[0], label).toBeGreaterThan(0);
  expect(lines.join("\n")).toMatch(
    /second level: 2048 entries, 8 MiB in pages of 4 KiB, 4 GiB in pages of 2 MiB/,
  );
  await machine.halt();
});

test.each([
  // the first of four passes walks
  [2048, 75],
  [8192, 0],
])("%d pages in small pages: %d %% hits; in large ones nearly all", async (pages, percent) => {
  const config = { cpus: 1, memory: "64MiB", mode: "virtual" } as const;
  const result = await runWell(config, "tlb_reach", { operations: 4, options: { pages } });
  expect(metricOf(result, "hit rate, 4k")).toBe(percent);
  expect(metricOf(result, "walks a thousand reads, 2m")).toBeLessThan(1);
});
