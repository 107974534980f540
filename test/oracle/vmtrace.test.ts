/** Scenarios of a real kernel in plain text, replayed: every counter of every mapping after every step. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTrace } from "../../src/experiment/conform/read-trace.ts";
import { type ReplayResult, replay } from "../../src/experiment/conform/replay.ts";
import { kernelsOf } from "../support/kernels.ts";

const FOLDER = new URL("./vmtrace/", import.meta.url);
const textOf = (name: string): string => readFileSync(new URL(name, FOLDER), "utf8");

function replayed(name: string, text: string): ReplayResult {
  const machine = kernelsOf({ cpus: 1, memory: "64MiB" });
  const [kernel] = machine.kernels;
  const result = replay(kernel, readTrace(name, text));
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  machine.check();
  return result;
}

test.each(readdirSync(FOLDER).filter((name) => name.endsWith(".txt")))("%s", (name) => {
  const text = textOf(name);
  const steps = text.split("\n").filter((line) => line.startsWith("STEP ")).length;
  expect(steps).toBeGreaterThan(5);
  expect(replayed(name, text)).toEqual({ equal: steps, difference: null, skipped: null });
});

describe("a scenario that was changed is found out", () => {
  const changed = (name: string, from: string, to: string): ReplayResult => {
    const text = textOf(name);
    expect(text).toContain(from);
    return replayed(name, text.replace(from, to));
  };

  test.each([
    ["mlock.txt", "ret=ENOMEM", "ret=0", { field: "ret", got: '{"text":"ENOMEM"}' }],
    ["demand.txt", "minflt=6", "minflt=8", { field: "minflt", expected: "8", got: "6" }],
    ["demand.txt", "pc=16 pd=16", "pc=0 pd=32", { field: "maps 32-40 privateClean", got: "16" }],
    ["anonvma_merge.txt", "me dc ac", "me ac", { field: "maps 4-8 vmFlags", got: '"rd wr mr mw me dc ac"' }],
    ["mlock.txt", "lock=8", "lock=0", { field: "maps 2-4 locked", got: "8" }],
    ["errors.txt", "vec=11101000", "vec=1110100", { field: "val", got: '"11101000"' }],
    ["merge_split.txt", "page:4", "page:5", { i: 13, op: "mmap NOREPLACE free", field: "maps" }],
  ])("%s: %s as %s", (name, from, to, difference) => {
    expect(changed(name, from, to).difference).toMatchObject(difference);
  });

  test("a label that is not known ends the replay", () => {
    const { equal, skipped } = changed("demand.txt", "STEP mprotect R all", "STEP remap_file_pages 0..2");
    expect([equal, skipped]).toEqual([6, "remap_file_pages 0..2"]);
  });
});

test("a line that is neither a step nor a mapping is refused", () => {
  expect(() =>
    readTrace("odd.txt", "SCENARIO odd\nSTEP mmap 4p ret=0 minflt=0 majflt=0\n  [0,4) rw-p\n"),
  ).toThrow("odd.txt, line 3: neither a step nor a mapping");
});
