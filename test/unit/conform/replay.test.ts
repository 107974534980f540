/** Recorded answers of a real kernel, replayed: see test/oracle/vmfuzz. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { replay } from "../../../src/experiment/conform/replay.ts";
import { parseTrace, type Trace } from "../../../src/experiment/conform/trace.ts";
import { kernelsOf } from "../../support/kernels.ts";

const FOLDER = new URL("../../oracle/vmfuzz/", import.meta.url);
const traces = readdirSync(FOLDER).filter((name) => name.endsWith(".jsonl"));

const read = (name: string): Trace => parseTrace(name, readFileSync(new URL(name, FOLDER), "utf8"));

describe("traces of a real kernel", () => {
  test.each(traces)("%s", (name) => {
    const machine = kernelsOf({ cpus: 1, memory: "64MiB" });
    const [kernel] = machine.kernels;
    const trace = read(name);
    const free = trace.records.length;
    expect(replay(kernel, trace)).toEqual({ equal: free, difference: null, skipped: null });
    kernel.rcu.barrier();
    kernel.cpu.endOperation();
    machine.check();
  });
});

describe("a trace that was changed", () => {
  const changed = (change: (lines: string[]) => void): ReturnType<typeof replay> => {
    const lines = readFileSync(new URL("anon-1.jsonl", FOLDER), "utf8").trim().split("\n");
    change(lines);
    return replay(
      kernelsOf({ cpus: 1, memory: "64MiB" }).kernels[0],
      parseTrace("changed", lines.join("\n")),
    );
  };

  test("is found out, with its place and both answers", () => {
    const { equal, difference } = changed((lines) => {
      lines[9] = lines[9].replace('"ENOMEM"', '"EINVAL"');
    });
    expect(equal).toBe(8);
    expect(difference).toEqual({
      i: 8,
      op: "mlock",
      field: "ret",
      expected: '{"errno":"EINVAL"}',
      got: '{"errno":"ENOMEM"}',
    });
  });

  test("in a count of faults is found out", () => {
    const { difference } = changed((lines) => {
      lines[14] = lines[14].replace('"minflt":1', '"minflt":2');
    });
    expect(difference).toMatchObject({ i: 13, field: "minflt", expected: "2", got: "1" });
  });

  test("to an operation that is not known counts as skipped", () => {
    const { equal, skipped } = changed((lines) => {
      lines[3] = lines[3].replace('"op":"madvise"', '"op":"remap_file_pages"');
    });
    expect([equal, skipped]).toEqual([2, "remap_file_pages"]);
  });
});

test.each([
  ["", "line 1: not a JSON object"],
  ['{"format":"vmfuzz-2"}', 'format "vmfuzz-2" is not known; valid is "vmfuzz-1"'],
  ['{"format":"vmfuzz-1"}\n{"i":0,"op":"mmap"}\n{"i":2,"op":"mmap"}', "line 3: expected operation 1"],
  ['{"format":"vmfuzz-1"}\nnothing', "line 2: not a JSON object: nothing"],
])("a file that is no trace is refused: %j", (text, message) => {
  expect(() => parseTrace("file.jsonl", text)).toThrow(message);
});
