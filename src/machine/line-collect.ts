/**
 * Merges the CPUs' transfer counts by cache line and names the lines.  Runs on the boot CPU's thread, which knows what
 * lies where; it looks at RAM directly and costs no simulated time.
 */

import { LINE_WORDS, type Pointer, WORD_BYTES } from "../memory/units.ts";
import type { CpuThread } from "./attach.ts";
import { addCounts, noCounts, type RunningCounts, unpackCounts } from "./line-counts.ts";
import { type WordName, wordNamer } from "./line-names.ts";
import {
  type CacheLine,
  type CpuCount,
  costOf,
  LINES_KEPT,
  type LineNeighbour,
  type LineReport,
  type LineWord,
  type StructShare,
  type TransferCounts,
} from "./line-report.ts";

/** Fields listed for a kind of structure. */
const FIELDS_KEPT = 6;

const lineOf = (address: Pointer): number => Math.floor(address / LINE_WORDS);
const plainly = (path: string): string => path.replaceAll(/\[[^\]]*\]/g, "[]");

/** The report of a run; `packed` has each CPU's counts, in order of CPUs.  `shareOfTime` is left to who knows the time. */
export function collectLines(
  { kernel, machine }: CpuThread,
  packed: readonly Float64Array[],
): Omit<LineReport, "shareOfTime"> {
  const nameOf = wordNamer(kernel, new Int32Array(machine.buffers.ram));
  const total = noCounts();
  const costs = new Map<number, number>();
  const structs = new Structs();
  for (const counts of packed) {
    for (const { address, counts: one } of unpackCounts(counts)) {
      const line = lineOf(address);
      addCounts(total, one);
      costs.set(line, (costs.get(line) ?? 0) + costOf(one));
      structs.add(nameOf(address), line, one);
    }
  }
  const dearest = [...costs].toSorted((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, LINES_KEPT);
  const words = new Map(dearest.map(([line]) => [line, new Map<Pointer, WordSum>()]));
  for (const [cpu, counts] of packed.entries()) addWords(words, cpu, counts);
  return {
    lineCount: costs.size,
    total,
    lines: dearest.map(([line]) => cacheLine(line, words.get(line) ?? new Map(), nameOf, costOf(total))),
    structs: structs.shares(costOf(total)),
  };
}

/** All CPUs' counts of one word. */
interface WordSum {
  readonly counts: RunningCounts;
  readonly readers: Map<number, number>;
  readonly writers: Map<number, number>;
  readonly from: Map<number, number>;
}

function addWords(lines: Map<number, Map<Pointer, WordSum>>, cpu: number, packed: Float64Array): void {
  for (const { address, counts, from } of unpackCounts(packed)) {
    const words = lines.get(lineOf(address));
    if (words === undefined) continue;
    let sum = words.get(address);
    if (sum === undefined) {
      sum = { counts: noCounts(), readers: new Map(), writers: new Map(), from: new Map() };
      words.set(address, sum);
    }
    addCounts(sum.counts, counts);
    const wrote = counts.writes + counts.upgrades;
    if (counts.reads > 0) sum.readers.set(cpu, counts.reads);
    if (wrote > 0) sum.writers.set(cpu, wrote);
    for (const [source, count] of from) sum.from.set(source, (sum.from.get(source) ?? 0) + count);
  }
}

function cacheLine(
  line: number,
  sums: ReadonlyMap<Pointer, WordSum>,
  nameOf: (address: Pointer) => WordName,
  totalCost: number,
): CacheLine {
  const start = line * LINE_WORDS;
  const counts = noCounts();
  for (const sum of sums.values()) addCounts(counts, sum.counts);
  const words = [...sums]
    .toSorted((a, b) => costOf(b[1].counts) - costOf(a[1].counts) || a[0] - b[0])
    .map(([address, sum]) => lineWord(address - start, sum, nameOf(address)));
  const objects = new Set(
    [...sums.keys()].toSorted((a, b) => a - b).map((address) => nameOf(address).object),
  );
  return {
    address: start * WORD_BYTES,
    name: [...objects].join(", "),
    ...counts,
    share: costOf(counts) / totalCost,
    words,
    neighbours: neighbours(start, new Set(words.map((word) => word.unit)), nameOf),
  };
}

function lineWord(offset: number, sum: WordSum, { text, unit, role, kind, guard }: WordName): LineWord {
  return {
    offset: offset * WORD_BYTES,
    name: text,
    unit,
    role,
    kind,
    guard,
    ...sum.counts,
    readers: cpuCounts(sum.readers),
    writers: cpuCounts(sum.writers),
    from: cpuCounts(sum.from),
  };
}

const cpuCounts = (counts: ReadonlyMap<number, number>): CpuCount[] =>
  [...counts].toSorted((a, b) => a[0] - b[0]);

/** Declared fields of the line beside `units`; an array is one. */
function neighbours(
  start: Pointer,
  units: ReadonlySet<string>,
  nameOf: (address: Pointer) => WordName,
): LineNeighbour[] {
  const found = new Map<string, LineNeighbour>();
  for (let word = 0; word < LINE_WORDS; word++) {
    const { object, path, unit, guard } = nameOf(start + word);
    if (units.has(unit) || guard === "") continue;
    const name = `${object}.${plainly(path)}`;
    found.set(name, { name, guard });
  }
  return [...found.values()];
}

/** Sums by kind of structure. */
class Structs {
  private readonly sums = new Map<
    string,
    { counts: RunningCounts; lines: Set<number>; fields: Map<string, number> }
  >();

  add({ struct, path }: WordName, line: number, counts: TransferCounts): void {
    let sum = this.sums.get(struct);
    if (sum === undefined) {
      sum = { counts: noCounts(), lines: new Set(), fields: new Map() };
      this.sums.set(struct, sum);
    }
    addCounts(sum.counts, counts);
    sum.lines.add(line);
    const field = plainly(path);
    sum.fields.set(field, (sum.fields.get(field) ?? 0) + costOf(counts));
  }

  shares(totalCost: number): StructShare[] {
    return [...this.sums]
      .map(([name, { counts, lines, fields }]) => ({
        name,
        lines: lines.size,
        ...counts,
        share: costOf(counts) / totalCost,
        fields: [...fields]
          .toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
          .filter(([field]) => field !== "")
          .slice(0, FIELDS_KEPT)
          .map(([field, cost]) => ({ name: field, share: cost / totalCost })),
      }))
      .toSorted((a, b) => b.share - a.share || (a.name < b.name ? -1 : 1));
  }
}
