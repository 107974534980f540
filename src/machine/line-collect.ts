/**
 * Merges the CPUs' transfer counts by cache line and names the lines.  Runs on the boot CPU's thread, which knows what
 * lies where; it looks at RAM directly and costs no simulated time.
 */

import type { Region, Regions } from "../memory/regions.ts";
import { LINE_WORDS, type Pointer, WORD_BYTES } from "../memory/units.ts";
import type { CpuThread } from "./attach.ts";
import {
  addCounts,
  addPacked,
  costAt,
  forEachRecord,
  noCounts,
  type RunningCounts,
  sourcesOf,
} from "./line-counts.ts";
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
} from "./line-report.ts";
import { registerObjects } from "./object-regions.ts";

/** Fields listed for a kind of structure. */
const FIELDS_KEPT = 6;

const lineOf = (address: Pointer): number => Math.floor(address / LINE_WORDS);
const plainly = (path: string): string => path.replaceAll(/\[[^\]]*\]/g, "[]");

/** The report of a run; `packed` has each CPU's counts, in order of CPUs.  `shareOfTime` is left to who knows the time. */
export function collectLines(
  { kernel, machine }: CpuThread,
  packed: readonly Float64Array[],
): Omit<LineReport, "shareOfTime"> {
  const ram = new Int32Array(machine.buffers.ram);
  registerObjects(kernel, ram);
  const nameOf = wordNamer(kernel, ram);
  const costs = new Map<number, number>();
  const structs = new Structs(kernel.regions, ram);
  for (const counts of packed) {
    forEachRecord(counts, (address, at) => {
      const line = lineOf(address);
      costs.set(line, (costs.get(line) ?? 0) + costAt(counts, at));
      structs.add(address, line, counts, at);
    });
  }
  const total = structs.total();
  const dearest = [...costs].toSorted((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, LINES_KEPT);
  const words = new Map(dearest.map(([line]) => [line, new Map<Pointer, WordSum>()]));
  for (const [cpu, counts] of packed.entries()) addWords(words, cpu, counts);
  return {
    lineCount: costs.size,
    total,
    lines: dearest.map(([line]) => cacheLine(line, words.get(line) ?? new Map(), nameOf, costOf(total))),
    structs: structs.shares(nameOf, costOf(total)),
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
  forEachRecord(packed, (address, at) => {
    const words = lines.get(lineOf(address));
    if (words === undefined) return;
    let sum = words.get(address);
    if (sum === undefined) {
      sum = { counts: noCounts(), readers: new Map(), writers: new Map(), from: new Map() };
      words.set(address, sum);
    }
    const own = noCounts();
    addPacked(own, packed, at);
    addCounts(sum.counts, own);
    const wrote = own.writes + own.upgrades;
    if (own.reads > 0) sum.readers.set(cpu, own.reads);
    if (wrote > 0) sum.writers.set(cpu, wrote);
    for (const [source, count] of sourcesOf(packed, at))
      sum.from.set(source, (sum.from.get(source) ?? 0) + count);
  });
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

/** Words at one place of a kind of object: the same field of all elements of an array. */
interface FieldSum {
  /** One of the words. */
  readonly address: Pointer;
  readonly counts: RunningCounts;
}

interface RegionSum {
  readonly lines: Set<number>;
  /** By overlay and offset. */
  readonly fields: Map<number, FieldSum>;
}

interface StructSum {
  readonly counts: RunningCounts;
  lines: Set<number>;
  readonly fields: Map<string, number>;
}

/** Sums by kind of structure.  A field is named once, not for each of the words that it is of many elements. */
class Structs {
  private readonly regions: Regions;
  private readonly read: (address: Pointer) => number;
  private readonly sums = new Map<Region | null, RegionSum>();

  constructor(regions: Regions, ram: Int32Array) {
    this.regions = regions;
    this.read = (address) => ram[address];
  }

  add(address: Pointer, line: number, packed: Float64Array, at: number): void {
    const region = this.regions.at(address);
    let sum = this.sums.get(region);
    if (sum === undefined) {
      sum = { lines: new Set(), fields: new Map() };
      this.sums.set(region, sum);
    }
    sum.lines.add(line);
    const place = region === null ? 0 : this.placeIn(region, address);
    let field = sum.fields.get(place);
    if (field === undefined) {
      field = { address, counts: noCounts() };
      sum.fields.set(place, field);
    }
    addPacked(field.counts, packed, at);
  }

  total(): RunningCounts {
    const total = noCounts();
    for (const { fields } of this.sums.values())
      for (const { counts } of fields.values()) addCounts(total, counts);
    return total;
  }

  shares(nameOf: (address: Pointer) => WordName, totalCost: number): StructShare[] {
    return [...this.byStruct(nameOf)]
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

  /** All CPUs' instances together. */
  private byStruct(nameOf: (address: Pointer) => WordName): Map<string, StructSum> {
    const structs = new Map<string, StructSum>();
    for (const { lines, fields } of this.sums.values()) {
      for (const { address, counts } of fields.values()) {
        const { struct, path } = nameOf(address);
        let sum = structs.get(struct);
        if (sum === undefined) {
          sum = { counts: noCounts(), lines, fields: new Map() };
          structs.set(struct, sum);
        }
        if (sum.lines !== lines) sum.lines = sum.lines.union(lines);
        addCounts(sum.counts, counts);
        const field = plainly(path);
        sum.fields.set(field, (sum.fields.get(field) ?? 0) + costOf(counts));
      }
    }
    return structs;
  }

  /** The same number for the same field of any element: its offset, and which overlay it is in. */
  private placeIn({ start, stride, layout }: Region, address: Pointer): number {
    const offset = (address - start) % stride;
    const tag = layout.tagAt === null ? 0 : layout.tagAt(this.read, address - offset);
    return tag * stride + offset;
  }
}
