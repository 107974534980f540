/** Tasks and user programs: what they print, on real threads and in simulated time, and that nothing is left of them. */

import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { RunResult } from "../../src/machine/program.ts";
import type { TasksValue } from "../../src/machine/user-program.ts";
import { runOn, runWell } from "../support/run-workload.ts";

const program = (name: string): string =>
  fileURLToPath(new URL(`../support/programs/${name}.ts`, import.meta.url));
const example = (name: string): string =>
  fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url));

const valuesOf = ({ cpuResults }: RunResult): TasksValue[] =>
  cpuResults.map(({ value }) => value as TasksValue);
const linesOf = (result: RunResult): string[] =>
  valuesOf(result)
    .flatMap(({ lines }) => lines)
    .toSorted((a, b) => a.timeNs - b.timeNs)
    .map(({ text }) => text);

afterAll(destroyIdlePools);

const EXPECTED = [
  "faulty: status 11",
  "WNOHANG: 0",
  "killed: status 9",
  "exec of nothing: -2",
  "exec: the leader, heap 4096",
  `group: status ${77 << 8}`,
  `counter: status ${20 << 8}`,
  `parent: status ${9 << 8}`,
  "orphan maker: status 0",
  "no child: -10",
  "errors: -3 -22 -22 -22",
  "affinity: -22 -22",
  "futex: -11 -22 0",
  "caught: UserSignal SEGV MAPERR",
  "memory: 10000000005 1234 ab abababab",
  "atomics: 0 4294967295 6",
];

test.each([
  ["parallel", 3],
  ["virtual", 1],
  ["virtual", 4],
] as const)("%s, %i CPUs: processes, threads and signals", async (mode, cpus) => {
  const result = await runWell({ mode, cpus }, program("tasks"), {});
  const lines = linesOf(result);
  // When the orphan sees that its parent has gone is left open.
  expect(lines.filter((line) => !line.startsWith("orphan:"))).toEqual(EXPECTED);
  expect(lines).toContain("orphan: its parent is 1");
  const ends = valuesOf(result).flatMap((value) => value.ends);
  expect(ends.find(({ name }) => name === "main")?.status).toBe(4 << 8);
  // No task ends twice; the one that has run another program is the leader then.
  expect(new Set(ends.map(({ pid, name }) => `${pid} ${name}`)).size).toBe(ends.length);
});

test("a process and its child share pages until one of them writes", async () => {
  const result = await runWell({ cpus: 2 }, example("fork-and-copy"), {});
  expect(linesOf(result)).toEqual([
    "child 1001: reads 42",
    "child 1001: wrote 7",
    "parent 1000: child 1001 ended with 3, and here is 42",
  ]);
});

test.each(["parallel", "virtual"] as const)("%s: threads add under a lock", async (mode) => {
  const result = await runWell({ mode, cpus: 3 }, example("threads"), { options: { args: "4,50" } });
  expect(linesOf(result).join()).toMatch(/^with the lock 200 of 200, without \d+$/);
});

test("step programs go to the CPU that idles, with their registers", async () => {
  const result = await runWell({ mode: "virtual", cpus: 2 }, program("migrating"), {});
  const lines = linesOf(result).map((line) => line.split(" ").map(Number));
  expect(lines.map(([sum]) => sum)).toEqual(new Array(4).fill((200 * 201) / 2));
  expect(lines.some(([, cpus]) => (cpus & 2) !== 0)).toBe(true);
});

test.each(["parallel", "virtual"] as const)(
  "%s: a plain function that waits for one below it is a deadlock",
  async (mode) => {
    const { fault } = await runOn({ mode, cpus: 1 }, program("plain-deadlock"), {});
    expect(fault?.kind).toBe("deadlock");
    expect(fault?.message).toContain(
      "main[1000] on cpu 0 could go on in futex, but second[1001], a plain function too, waits on top of it",
    );
    expect(fault?.message).toContain("second[1001] on cpu 0 sleeps in futex");
  },
);

test("integers that main cannot be given are refused", async () => {
  await expect(runOn({ cpus: 1 }, program("tasks"), { options: { args: "1,two" } })).rejects.toThrow(
    'user program: option args: "two" is not valid; valid are up to 6 integers with commas between them',
  );
  await expect(runOn({ cpus: 1 }, program("tasks"), { options: { args: "1,2,3,4,5,6,7" } })).rejects.toThrow(
    "7 integers; valid are 0 to 6",
  );
});

test.each([
  ["parallel", 4, 2],
  ["virtual", 5, 1],
] as const)("%s, %i CPUs: a tree of processes at random", async (mode, cpus, depth) => {
  const seed = (Date.now() & 0xffff) + 1;
  await runWell({ mode, cpus, seed: mode === "virtual" ? 3 : seed }, "task-stress", {
    operations: 300,
    options: { depth },
  });
});

test("/proc/stat counts switches and processes", async () => {
  const machine = await Machine.boot({ mode: "virtual", cpus: 2, memory: "64MiB" });
  const result = await machine.run(example("threads"), { options: { args: "3,5" } });
  const found = new Map((await machine.proc("stat")).split("\n").map((line) => [line.split(" ")[0], line]));
  const switches = valuesOf(result).reduce((sum, value) => sum + value.switches, 0);
  expect(switches).toBeGreaterThan(4);
  expect(found.get("ctxt")).toBe(`ctxt ${switches}`);
  expect(found.get("processes")).toBe("processes 4");
  expect(found.get("procs_running")).toBe("procs_running 0");
  await machine.halt();
});

test.each(["process", "thread"])("two tasks of one CPU give way to each other: %s", async (kind) => {
  const result = await runWell({ mode: "virtual", cpus: 2 }, "context_switch", {
    operations: 100,
    options: { mode: kind },
  });
  const switches = result.cpuResults.map(({ phases }) => phases[0].operations);
  for (const count of switches) expect(count).toBeGreaterThan(195);
});
