/** Cache-line padding as a setting: without it kernel structures lie closer, and what CPUs share by accident costs time. */
import { afterAll, describe, expect, test } from "vitest";
import { hintsFor } from "../../src/experiment/cache-line-hints.ts";
import { costOf, type LineReport } from "../../src/machine/line-report.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const CPUS = 4;
const CYCLES_PER_NS = 2.2;

afterAll(destroyIdlePools);

interface Outcome {
  readonly cycles: number;
  readonly lines: LineReport;
}

/** Page lists alone: what lies beside the lists' locks is plain data. */
async function repeat(padding: boolean): Promise<Outcome> {
  const machine = await Machine.boot({
    cpus: CPUS,
    memory: "64MiB",
    mode: "virtual",
    cacheLines: true,
    padding,
  });
  const { fault, cpuResults, cacheLines } = await machine.run("page-repeat", { operations: 300 });
  expect(fault).toBeNull();
  expect((await machine.check()).fault).toBeNull();
  await machine.halt();
  const ns = cpuResults.flatMap((cpu) => cpu.phases).reduce((sum, phase) => sum + phase.elapsedNs, 0);
  return { cycles: ns * CYCLES_PER_NS, lines: cacheLines as LineReport };
}

describe("padding", () => {
  test("without it CPUs slow each other down, by as much as the cache-line report says", async () => {
    const [padded, packed] = [await repeat(true), await repeat(false)];
    expect(packed.cycles / padded.cycles).toBeGreaterThan(1.15);
    const lost = packed.cycles - padded.cycles;
    const explained = costOf(packed.lines.total) - costOf(padded.lines.total);
    expect(explained / lost).toBeGreaterThan(0.8);
    expect(explained / lost).toBeLessThan(1.25);

    const [dearest] = packed.lines.lines;
    expect(dearest.name).toMatch(/^zone_parts\[\w+ cpu \d\], zone_parts\[\w+ cpu \d\]$/);
    const [hint] = hintsFor(dearest);
    expect(hint.kind).toBe("false-sharing");
    expect(hint.fields.join(" ")).toMatch(/stats\.numaEvent\[numa_\w+\]/);
    expect(hint.fields.join(" ")).toMatch(/pcp\.lock/);
    const falselyShared = padded.lines.lines.flatMap(hintsFor).filter(({ kind }) => kind === "false-sharing");
    expect(falselyShared).toEqual([]);
  });

  test.each(["parallel", "virtual"] as const)("%s mode works without it", async (mode) => {
    const machine = await Machine.boot({
      cpus: 3,
      memory: "64MiB",
      mode,
      padding: false,
      checks: true,
      nodes: 2,
      ...(mode === "virtual" ? { profile: "xeon-8375c-2s" } : {}),
    });
    const { fault } = await machine.run("page-stress", { operations: 300 });
    expect(fault).toBeNull();
    expect((await machine.check()).report?.passed).toContain("page lists");
    expect(await machine.proc("zoneinfo")).toMatch(/cpu: 2\n +count: +\d+/);
    await machine.halt();
  });
});
