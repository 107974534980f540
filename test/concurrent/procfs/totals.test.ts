/**
 * Goal: reports agree with each other and with the checks, on machines of any shape.  Method: random configurations from a
 * seed; reports after boot and after churn on all CPUs.
 */

import { afterAll, expect, test } from "vitest";
import { UsageError } from "../../../src/index.ts";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { procNames } from "../../../src/procfs/reports.ts";
import * as grammar from "../../support/proc-grammar.ts";

afterAll(destroyIdlePools);

const SEED = 20260;
const CONFIGURATIONS = 8;

/** Park and Miller's generator. */
function chance(seed: number): (choices: number) => number {
  let state = seed;
  return (choices) => {
    state = (state * 48271) % 2147483647;
    return state % choices;
  };
}

function randomConfig(pick: (choices: number) => number): MachineConfig {
  const nodes = [1, 2, 4][pick(3)];
  return {
    cpus: 1 + pick(4),
    nodes,
    memory: `${[24, 64, 200, 1024][pick(4)]}MiB`,
    pageLists: (["6.12", "6.0", "off"] as const)[pick(3)],
    zones: (["x86-64", "x86-32"] as const)[pick(2)],
    ...(pick(3) === 0 ? { movablecoreBytes: 4 << 20 } : {}),
    seed: 1 + pick(1000),
  };
}

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
const pagesOf = (blocks: readonly number[]): number => sum(blocks.map((count, order) => count * 2 ** order));
const amountOf = (map: ReadonlyMap<string, number>, key: string): number => map.get(key) ?? Number.NaN;

/** Every equation between reports of a machine at rest. */
async function expectAgreement(machine: Machine): Promise<void> {
  const buddy = grammar.parseBuddyinfo(await machine.proc("buddyinfo"));
  const types = grammar.parsePagetypeinfo(await machine.proc("pagetypeinfo"));
  const sections = grammar.parseZoneinfo(await machine.proc("zoneinfo"));
  const vmstat = grammar.parseVmstat(await machine.proc("vmstat"));
  const meminfo = grammar.parseMeminfo(await machine.proc("meminfo"));
  const numactl = await machine.proc("numactl");
  const zones = sections.filter(({ stats }) => stats.size > 0);
  const place = ({ node, zone }: { node: number; zone: string }): string => `${node} ${zone}`;
  const kilobytes = (key: string): number => meminfo.get(key)?.kilobytes ?? Number.NaN;

  expect(buddy.map(place)).toEqual(zones.map(place));
  expect(types.flatMap(({ blocks }) => blocks).map(place)).toEqual(zones.map(place));
  zones.forEach((zone, i) => {
    expect(pagesOf(buddy[i].counts)).toBe(amountOf(zone.stats, "nr_free_pages"));
    expect(zone.free).toBe(amountOf(zone.stats, "nr_free_pages"));
    const rows = types.flatMap(({ free }) => free).filter((row) => place(row) === place(zone));
    const byType = buddy[i].counts.map((_, order) => sum(rows.map(({ counts }) => counts[order])));
    expect(byType).toEqual(buddy[i].counts);
    expect(zone.pagesets.map(({ cpu }) => cpu)).toEqual(
      Array.from({ length: machine.config.cpus }, (_, c) => c),
    );
  });

  const free = sum(zones.map(({ stats }) => amountOf(stats, "nr_free_pages")));
  const managed = sum(zones.map(({ sizes }) => amountOf(sizes, "managed")));
  expect(amountOf(vmstat, "nr_free_pages")).toBe(free);
  expect(kilobytes("MemFree")).toBe(free * 4);
  expect(kilobytes("MemTotal")).toBe(managed * 4);
  expect(kilobytes("MemAvailable")).toBeLessThanOrEqual(free * 4);
  for (const key of [...vmstat.keys()].filter((name) => name.startsWith("numa_")))
    expect(amountOf(vmstat, key)).toBe(sum(zones.map(({ stats }) => amountOf(stats, key))));
  const listed = sum(
    zones.flatMap(({ pagesets }) => pagesets.map(({ values }) => amountOf(values, "count"))),
  );
  const { report, fault } = await machine.check();
  expect(fault?.message ?? "no fault").toBe("no fault");
  expect(free + listed).toBe(report?.freePages);
  // Everything was given back.
  const allocated = sum([...vmstat].filter(([key]) => key.startsWith("pgalloc_")).map(([, pages]) => pages));
  expect(amountOf(vmstat, "pgfree")).toBe(allocated);

  const sizes = [...numactl.matchAll(/^node (\d+) (size|free): (\d+) MB$/gm)];
  expect(sizes.length).toBe(2 * machine.config.topology.nodes);
  for (const [, node, what, megabytes] of sizes) {
    const own = zones.filter((zone) => zone.node === Number(node));
    const pages = sum(
      own.map(({ sizes: of, free: left }) => (what === "size" ? amountOf(of, "managed") : left)),
    );
    expect(Number(megabytes)).toBe(Math.floor(pages / 256));
  }
}

const pick = chance(SEED);
const configurations = Array.from({ length: CONFIGURATIONS }, (_, i) => [i, randomConfig(pick)] as const);

test.each(configurations)(
  "configuration %i: totals agree after boot and after churn",
  async (number, config) => {
    console.log(`seed ${SEED}, configuration ${number}: ${JSON.stringify(config)}`);
    const machine = await Machine.boot(config);
    await expectAgreement(machine);
    const result = await machine.run("page-stress", { operations: 2000 });
    expect(result.fault?.message ?? "no fault").toBe("no fault");
    await expectAgreement(machine);
    const { cpus, rows } = grammar.parseInterrupts(await machine.proc("interrupts"));
    expect(cpus.length).toBe(config.cpus);
    for (const { label, counts } of rows) expect(sum(counts), label).toBe(result.interrupts[label]);
    const locks = grammar.parseLockStat(await machine.proc("lock_stat"));
    for (const { name, contended } of result.locks) {
      expect(locks.get(name)?.get("contentions"), name).toBeGreaterThanOrEqual(contended);
    }
    await machine.halt();
  },
);

test("lock statistics measure hold times", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "64MiB", lockstat: true });
  await machine.run("page-stress", { operations: 500 });
  const row = grammar.parseLockStat(await machine.proc("lock_stat")).get("&zone->lock");
  expect(row?.get("holdtime-total")).toBeGreaterThan(0);
  expect(row?.get("holdtime-avg")).toBeLessThanOrEqual(row?.get("holdtime-max") ?? 0);
  expect(row?.get("con-bounces")).toBe(null);
  await machine.halt();
});

test("the latency matrix is measured between the machine's CPUs", async () => {
  const machine = await Machine.boot({ cpus: 3, memory: "64MiB" });
  const lines = (await machine.proc("core-latency", { trips: 20, batches: 3 })).split("\n");
  expect(lines[1]).toMatch(/^ {8,}CPU0 +CPU1 +CPU2$/);
  for (let cpu = 0; cpu < 3; cpu++)
    expect(lines[2 + cpu]).toMatch(new RegExp(`^ {4,}CPU${cpu}(?: {2,}(?:-|\\d+\\.\\d)){3}$`));
  await machine.halt();
});

test("every report can be read again and again, and changes no counter", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "64MiB" });
  const read = async (): Promise<string[]> => {
    // Who has read leaves the CPU, and its TLB is emptied.
    const isOfMachine = (name: string): boolean =>
      !["core-latency", "lock_stat", "tlb"].includes(name) && !name.startsWith("PID/");
    const names = procNames().filter(isOfMachine);
    const texts: string[] = [];
    for (const name of names) texts.push(await machine.proc(name));
    return texts;
  };
  expect(await read()).toEqual(await read());
  await machine.halt();
});

test("what cannot be read is refused", async () => {
  const machine = await Machine.boot({ cpus: 1, memory: "64MiB" });
  await expect(machine.proc("slubinfo")).rejects.toThrow(UsageError);
  await expect(machine.proc("core-latency", { trips: 20, batches: 3 })).rejects.toThrow(
    "core-latency: it needs at least 2 CPUs",
  );
  await expect(machine.proc("meminfo", { trips: 1 })).rejects.toThrow(
    "proc: report meminfo has no option trips",
  );
  expect(await machine.proc("/proc/meminfo")).toMatch(/^MemTotal: /);
  await machine.halt();
  await expect(machine.proc("meminfo")).rejects.toThrow("the machine is dead; it is read at rest");
});
