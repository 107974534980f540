import { describe, expect, test } from "vitest";
import { cpuRanges, hintsFor, MIN_EVENTS, MIN_LINE_SHARE } from "../../../src/experiment/cache-line-hints.ts";
import type { CacheLine, CpuCount, LineWord } from "../../../src/machine/line-report.ts";

/** A word that `readers` fetched and `writers` fetched to write, each as often as said; all fetched from a writer. */
function lineWord(offset: number, use: Partial<LineWord> & Pick<LineWord, "readers" | "writers">): LineWord {
  const of = (counts: readonly CpuCount[]): number => counts.reduce((sum, [, n]) => sum + n, 0);
  const [reads, writes] = [of(use.readers), of(use.writers)];
  const name = `thing.word${offset}`;
  return {
    offset: 4 * offset,
    name,
    unit: name,
    role: "data",
    kind: "word",
    guard: "atomic",
    reads,
    writes,
    modified: reads + writes,
    exposed: reads + writes,
    upgrades: 0,
    cycles: 100 * (reads + writes),
    queueCycles: 0,
    from: [],
    ...use,
  };
}

function line(words: readonly LineWord[], more: Partial<CacheLine> = {}): CacheLine {
  const sum = (field: "reads" | "writes" | "modified" | "exposed" | "upgrades" | "cycles"): number =>
    words.reduce((total, word) => total + word[field], 0);
  return {
    address: 0x1000,
    name: "thing",
    reads: sum("reads"),
    writes: sum("writes"),
    modified: sum("modified"),
    exposed: sum("exposed"),
    upgrades: sum("upgrades"),
    cycles: sum("cycles"),
    queueCycles: 0,
    share: 0.5,
    words,
    neighbours: [],
    ...more,
  };
}

const each = (cpus: readonly number[], count: number): CpuCount[] => cpus.map((cpu) => [cpu, count]);
const kinds = (l: CacheLine): string[] => hintsFor(l).map((hint) => hint.kind);

describe("hints of a cache line", () => {
  test("words that different CPUs write share falsely; the fields are named with their CPUs", () => {
    const falsely = line([
      lineWord(0, { readers: [], writers: each([0], 500) }),
      lineWord(4, { readers: [], writers: each([1, 2], 250) }),
    ]);
    const [hint] = hintsFor(falsely);
    expect(hint.kind).toBe("false-sharing");
    expect(hint.fields).toEqual(["thing.word0", "thing.word4"]);
    expect(hint.text).toContain("cpu 0 uses thing.word0; 2 CPUs (1-2) use thing.word4");
  });

  test("words that the same CPUs write do not share falsely", () => {
    const together = line([
      lineWord(0, { readers: [], writers: each([0, 1, 2], 400) }),
      lineWord(4, { readers: [], writers: each([0, 1, 2], 200) }),
    ]);
    expect(kinds(together)).toEqual(["true-sharing"]);
  });

  test.each([
    [each([1, 2, 3], 100), "false-sharing"],
    [each([0, 1, 2, 3], 100), "read-mostly"],
  ])("a word that is only read beside a written one: readers %j give %s", (readers, kind) => {
    const writers = readers.length === 3 ? each([0], 300) : each([0, 1, 2, 3], 100);
    const beside = line([lineWord(0, { readers: [], writers }), lineWord(8, { readers, writers: [] })]);
    expect(kinds(beside)[0]).toBe(kind);
    expect(hintsFor(beside)[0].fields).toEqual(["thing.word8", "thing.word0"]);
  });

  test("one word that all write is truly shared; a counter is to be counted per CPU", () => {
    const shared = lineWord(0, { readers: [], writers: each([0, 1, 2, 3], 100), kind: "counter" });
    expect(hintsFor(line([shared]))).toMatchObject([{ kind: "true-sharing", fields: ["thing.word0"] }]);
    expect(hintsFor(line([shared]))[0].text).toContain("Count per CPU");
  });

  test("one word that one CPU writes and others read is a message", () => {
    const told = line([
      lineWord(0, { readers: each([1, 2], 100), writers: each([0], 150), writes: 0, upgrades: 150 }),
    ]);
    expect(kinds(told)).toEqual(["one-writer"]);
  });

  test("a lock that several CPUs take, with what it guards beside it", () => {
    const lock = lineWord(0, {
      readers: each([0, 1], 100),
      writers: each([0, 1], 100),
      role: "lock",
      unit: "thing.lock",
    });
    expect(kinds(line([lock]))).toEqual(["contended-lock"]);
    const beside = line([lock], { neighbours: [{ name: "thing.lists[]", guard: "hint:zone.lock" }] });
    expect(kinds(beside)).toEqual(["contended-lock", "lock-with-data"]);
    const others = line([lock], { neighbours: [{ name: "thing.index", guard: "boot" }] });
    expect(kinds(others)).toEqual(["contended-lock"]);
    const mine = { ...lock, readers: [], writers: each([0], 200) };
    expect(kinds(line([mine]))).toEqual([]);
  });

  test("what a lock guards does not share falsely with it; what it does not guard does", () => {
    const lock = lineWord(0, { readers: [], writers: each([0, 1], 200), role: "lock", unit: "thing.lock" });
    const beside = (guard: string): LineWord =>
      lineWord(4, { readers: [], writers: each([2, 3], 50), guard });
    expect(kinds(line([lock, beside("lock:thing.lock")]))).toEqual(["contended-lock", "lock-with-data"]);
    expect(kinds(line([lock, beside("atomic")]))).toEqual([
      "false-sharing",
      "contended-lock",
      "lock-with-data",
    ]);
  });

  test("what a lock guards travels with it", () => {
    const guarded = lineWord(0, { readers: [], writers: each([0, 1], 100), guard: "lock:zone.lock" });
    const [hint] = hintsFor(line([guarded]));
    expect(hint.kind).toBe("guarded-data");
    expect(hint.text).toContain("under zone.lock");
  });

  test("a line that nobody writes is only evicted", () => {
    const clean = lineWord(0, { readers: each([0, 1, 2], 100), writers: [], modified: 20 });
    expect(kinds(line([clean]))).toEqual(["evicted"]);
    expect(kinds(line([{ ...clean, modified: 40 }]))).not.toContain("evicted");
  });

  test("few events and cheap lines give no advice", () => {
    const words = (count: number): LineWord[] => [lineWord(0, { readers: [], writers: each([0, 1], count) })];
    expect(kinds(line(words(MIN_EVENTS / 2)))).toEqual(["true-sharing"]);
    expect(kinds(line(words(MIN_EVENTS / 2 - 1)))).toEqual([]);
    expect(kinds(line(words(1000), { share: MIN_LINE_SHARE }))).toEqual(["true-sharing"]);
    expect(kinds(line(words(1000), { share: 0.9 * MIN_LINE_SHARE }))).toEqual([]);
  });

  test("a word that causes less than 2 % of the events does not count", () => {
    const rest = lineWord(0, { readers: [], writers: each([0, 1], 500) });
    const other = (count: number): LineWord => lineWord(4, { readers: [], writers: each([7], count) });
    expect(kinds(line([rest, other(15)]))).toEqual(["true-sharing"]);
    expect(kinds(line([rest, other(25)]))).toEqual(["false-sharing", "true-sharing"]);
  });

  test("CPUs are listed by ranges", () => {
    expect(cpuRanges([3, 0, 1, 2, 7])).toBe("0-3, 7");
    expect(cpuRanges([5])).toBe("5");
  });
});
