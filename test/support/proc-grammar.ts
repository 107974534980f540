/**
 * One grammar for each file of /proc that smpsim prints: it reads the host's own files and ours alike.  A line that it
 * does not know is an error.
 */

/** The lines of a text, one after the other. */
export class Lines {
  private readonly lines: readonly string[];
  private at = 0;

  constructor(text: string) {
    if (!text.endsWith("\n")) throw new Error("the last line has no end");
    this.lines = text.slice(0, -1).split("\n");
  }

  get atEnd(): boolean {
    return this.at >= this.lines.length;
  }

  /** Groups of the next line if it has this form; then it is read. */
  match(form: RegExp): string[] | null {
    const found = this.atEnd ? null : form.exec(this.lines[this.at]);
    if (found === null) return null;
    this.at++;
    return found.slice(1);
  }

  /** As `match`, where nothing else may come. */
  take(form: RegExp): string[] {
    const found = this.match(form);
    if (found === null)
      throw new Error(`line ${this.at + 1} is not ${form}: ${JSON.stringify(this.lines[this.at])}`);
    return found;
  }

  /** Reads lines while they have this form. */
  takeAll(form: RegExp): string[][] {
    const all: string[][] = [];
    for (let found = this.match(form); found !== null; found = this.match(form)) all.push(found);
    return all;
  }

  end(): void {
    if (!this.atEnd) this.take(/^the end$/);
  }
}

const numbers = (text: string): number[] => text.trim().split(/\s+/).map(Number);
const words = (text: string): string[] => text.trim().split(/\s+/);

/** Blocks by order, or pageblocks by type, of one zone. */
export interface ZoneRow {
  readonly node: number;
  readonly zone: string;
  readonly counts: readonly number[];
}

export function parseBuddyinfo(text: string): ZoneRow[] {
  const lines = new Lines(text);
  const rows = lines.takeAll(/^Node (\d+), zone ( *\w+) ((?: *\d+ )+)$/).map(([node, zone, counts]) => ({
    node: Number(node),
    zone: zone.trim(),
    counts: numbers(counts),
  }));
  lines.end();
  return rows;
}

export interface TypeRow extends ZoneRow {
  readonly type: string;
  /** Whether Linux stopped counting. */
  readonly isCut: boolean;
}

export interface Pagetypes {
  readonly pageblockOrder: number;
  readonly free: readonly TypeRow[];
  readonly types: readonly string[];
  readonly blocks: readonly ZoneRow[];
}

/** A table for each node. */
export function parsePagetypeinfo(text: string): Pagetypes[] {
  const lines = new Lines(text);
  const nodes: Pagetypes[] = [];
  while (!lines.atEnd) {
    const [order] = lines.take(/^Page block order: (\d+)$/);
    const [pages] = lines.take(/^Pages per block: {2}(\d+)$/);
    if (Number(pages) !== 2 ** Number(order)) throw new Error(`${pages} pages in a block of order ${order}`);
    lines.take(/^$/);
    lines.take(/^Free pages count per migrate type at order ((?: *\d+ )+)$/);
    const free = lines
      .takeAll(/^Node +(\d+), zone +(\w+), type +(\w+) ((?:>? *\d+ )+)$/)
      .map(([node, zone, type, counts]) => ({
        node: Number(node),
        zone,
        type,
        counts: numbers(counts.replaceAll(">", " ")),
        isCut: counts.includes(">"),
      }));
    lines.take(/^$/);
    const [types] = lines.take(/^Number of blocks type +((?:\w+ *)+)$/);
    const blocks = lines
      .takeAll(/^Node (\d+), zone +(\w+) ((?: *\d+ )+)$/)
      .map(([node, zone, counts]) => ({ node: Number(node), zone, counts: numbers(counts) }));
    // With CONFIG_PAGE_OWNER the pageblocks with mixed types follow.
    if (lines.match(/^$/) && lines.match(/^Number of mixed blocks/))
      lines.takeAll(/^Node \d+, zone +\w+ [\d ]+$/);
    nodes.push({ pageblockOrder: Number(order), free, types: words(types), blocks });
  }
  return nodes;
}

export interface Pageset {
  readonly cpu: number;
  /** count, high, batch, high_min, high_max. */
  readonly values: ReadonlyMap<string, number>;
  readonly threshold: number;
}

export interface ZoneSection {
  readonly node: number;
  readonly zone: string;
  readonly nodeStats: ReadonlyMap<string, number>;
  readonly free: number;
  /** boost to cma. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly protection: readonly number[];
  /** Empty for a zone without memory. */
  readonly stats: ReadonlyMap<string, number>;
  readonly pagesets: readonly Pageset[];
  readonly startPfn: number | null;
}

export function parseZoneinfo(text: string): ZoneSection[] {
  const lines = new Lines(text);
  const zones: ZoneSection[] = [];
  while (!lines.atEnd) zones.push(zoneSection(lines));
  return zones;
}

function zoneSection(lines: Lines): ZoneSection {
  const counter = /^ {6}(\w+) +(\d+)$/;
  const [node, zone] = lines.take(/^Node (\d+), zone (?= *\w)(?=.{8}) *(\w+)$/);
  const nodeStats = lines.match(/^ {2}per-node stats$/) ? pairs(lines.takeAll(counter)) : new Map();
  const [free] = lines.take(/^ {2}pages free {5}(\d+)$/);
  const sizes = pairs(lines.takeAll(/^ {8}(\w+) +(\d+)$/));
  const protection = numbers(lines.take(/^ {8}protection: \((\d+(?:, \d+)*)\)$/)[0].replaceAll(",", " "));
  const section = { node: Number(node), zone, nodeStats, free: Number(free), sizes, protection };
  const stats = pairs(lines.takeAll(counter));
  if (stats.size === 0) return { ...section, stats, pagesets: [], startPfn: null };
  lines.take(/^ {2}pagesets$/);
  const pagesets: Pageset[] = [];
  for (let cpu = lines.match(/^ {4}cpu: (\d+)$/); cpu !== null; cpu = lines.match(/^ {4}cpu: (\d+)$/)) {
    const values = pairs(lines.takeAll(/^ {14}(\w+): +(\d+)$/));
    const [threshold] = lines.take(/^ {2}vm stats threshold: (\d+)$/);
    pagesets.push({ cpu: Number(cpu[0]), values, threshold: Number(threshold) });
  }
  lines.take(/^ {2}node_unreclaimable: {2}(\d+)$/);
  const [startPfn] = lines.take(/^ {2}start_pfn: {11}(\d+)$/);
  return { ...section, stats, pagesets, startPfn: Number(startPfn) };
}

export interface Meminfo {
  readonly kilobytes: number;
  readonly hasUnit: boolean;
}

export function parseMeminfo(text: string): Map<string, Meminfo> {
  const lines = new Lines(text);
  const rows = lines.takeAll(/^([\w()]+): +(\d+)( kB)?$/);
  lines.end();
  return new Map(
    rows.map(([key, value, unit]) => [key, { kilobytes: Number(value), hasUnit: unit !== undefined }]),
  );
}

export function parseVmstat(text: string): Map<string, number> {
  const lines = new Lines(text);
  const rows = lines.takeAll(/^(\w+) (\d+)$/);
  lines.end();
  return pairs(rows);
}

export interface InterruptRow {
  readonly label: string;
  /** One for each CPU; one alone for machine-wide counts. */
  readonly counts: readonly number[];
  readonly description: string;
}

export function parseInterrupts(text: string): { cpus: readonly number[]; rows: readonly InterruptRow[] } {
  const lines = new Lines(text);
  const [head] = lines.take(/^ {11,}((?:CPU\d+ *)+)$/);
  const cpus = words(head).map((name) => Number(name.slice(3)));
  const rows = lines
    .takeAll(/^ *(\w+):((?: +\d+)+)(?: +(\S.*?))? *$/)
    .map(([label, counts, description = ""]) => {
      return { label, counts: numbers(counts), description };
    });
  lines.end();
  return { cpus, rows };
}

/** One class of locks; null where the column holds "-". */
export type LockRow = ReadonlyMap<string, number | null>;

export function parseLockStat(text: string): Map<string, LockRow> {
  const lines = new Lines(text);
  lines.take(/^lock_stat version 0\.4$/);
  const [rule] = lines.take(/^(-+)$/);
  const [names] = lines.take(/^ {30}class name ((?: *\S+)+)$/);
  const columns = words(names);
  if (rule.length !== 41 + 15 * columns.length)
    throw new Error(`a rule of ${rule.length}, ${columns.length} columns`);
  lines.take(/^-+$/);
  lines.take(/^$/);
  const rows = lines.takeAll(/^(?=.{40}:) *(\S.*):((?:[ \d.-]{14} ){11}[ \d.-]{14})$/);
  lines.end();
  const value = (cell: string): number | null => (cell === "-" ? null : Number(cell));
  return new Map(
    rows.map(([name, cells]) => {
      const values = words(cells).map(value);
      if (values.length !== columns.length || values.some(Number.isNaN))
        throw new Error(`lock_stat of ${name}: ${cells}`);
      return [name, new Map(columns.map((column, i) => [column, values[i]]))];
    }),
  );
}

const pairs = (rows: readonly string[][]): Map<string, number> =>
  new Map(rows.map(([name, value]) => [name, Number(value)]));
