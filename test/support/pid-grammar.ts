/**
 * One grammar for each file of /proc/PID: it reads the host's own and ours alike.  A line that it does not know is an error.
 */

import { Lines } from "./proc-grammar.ts";

export interface MapsRow {
  readonly start: number;
  readonly end: number;
  readonly permissions: string;
  readonly offset: number;
  readonly device: string;
  readonly inode: number;
  readonly name: string;
}

const HEAD =
  /^([0-9a-f]{8,16})-([0-9a-f]{8,16}) ([r-][w-][x-][ps]) ([0-9a-f]{8,16}) ([0-9a-f]{2,}:[0-9a-f]{2,}) (\d+) (?: *(\S.*))?$/;

export function parseMaps(text: string): MapsRow[] {
  if (text === "") return [];
  const lines = new Lines(text);
  const rows = lines.takeAll(HEAD).map(mapsRow);
  lines.end();
  return rows;
}

function mapsRow([start, end, permissions, offset, device, inode, name = ""]: string[]): MapsRow {
  return {
    start: Number.parseInt(start, 16),
    end: Number.parseInt(end, 16),
    permissions,
    offset: Number.parseInt(offset, 16),
    device,
    inode: Number(inode),
    name,
  };
}

/** A mapping of smaps, or all of them in smaps_rollup. */
export interface SmapsRow extends MapsRow {
  /** Kilobytes, in order. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Numbers without a unit. */
  readonly numbers: ReadonlyMap<string, number>;
  readonly flags: readonly string[];
}

export function parseSmaps(text: string): SmapsRow[] {
  const lines = new Lines(text);
  const rows: SmapsRow[] = [];
  while (!lines.atEnd) {
    const head = mapsRow(lines.take(HEAD));
    const sizes = pairs(lines.takeAll(/^(?=.{27}$)(\w+): +(\d+) kB$/));
    const numbers = pairs(lines.takeAll(/^(?=.{24}$)(\w+): +(\d+)$/));
    const [flags] = lines.match(/^VmFlags: ((?:[a-z?]{2} )*)$/) ?? [""];
    rows.push({ ...head, sizes, numbers, flags: flags.split(" ").filter((flag) => flag !== "") });
  }
  return rows;
}

export interface Status {
  /** Of lines in kilobytes. */
  readonly kilobytes: ReadonlyMap<string, number>;
  /** Of all others. */
  readonly texts: ReadonlyMap<string, string>;
  readonly keys: readonly string[];
}

export function parseStatus(text: string): Status {
  const lines = new Lines(text);
  const kilobytes = new Map<string, number>();
  const texts = new Map<string, string>();
  const keys: string[] = [];
  while (!lines.atEnd) {
    const size = lines.match(/^(\w+):\t( *\d+) kB$/);
    const [key, value] = size ?? lines.take(/^(\w+):\t(.*)$/);
    keys.push(key);
    if (size === null) texts.set(key, value);
    else if (value.length < 8) throw new Error(`${key} is ${value.length} columns wide`);
    else kilobytes.set(key, Number(value));
  }
  return { kilobytes, texts, keys };
}

/** Size, resident, shared, text, 0, data, 0: pages. */
export function parseStatm(text: string): number[] {
  const lines = new Lines(text);
  const numbers = lines.take(/^(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/).map(Number);
  lines.end();
  return numbers;
}

export interface NumaRow {
  readonly start: number;
  readonly policy: string;
  /** "file=...", "heap", "stack", or "". */
  readonly what: string;
  readonly counts: ReadonlyMap<string, number>;
  readonly nodes: ReadonlyMap<number, number>;
}

export function parseNumaMaps(text: string): NumaRow[] {
  const lines = new Lines(text);
  const rows = lines
    .takeAll(/^([0-9a-f]{8,16}) (\S+)(?: (file=\S+|heap|stack|huge))?((?: \w+=\d+)*)$/)
    .map(([start, policy, what = "", counts]) => {
      const all = [...counts.matchAll(/(\w+)=(\d+)/g)].map(([, key, value]) => [key, Number(value)] as const);
      const isNode = ([key]: readonly [string, number]): boolean => /^N\d+$/.test(key);
      return {
        start: Number.parseInt(start, 16),
        policy,
        what,
        counts: new Map(all.filter((pair) => !isNode(pair))),
        nodes: new Map(all.filter(isNode).map(([key, value]) => [Number(key.slice(1)), value])),
      };
    });
  lines.end();
  return rows;
}

/** What an entry of pagemap says. */
export interface PagemapWord {
  readonly isPresent: boolean;
  readonly isSwapped: boolean;
  readonly isFile: boolean;
  readonly isExclusive: boolean;
  readonly isSoftDirty: boolean;
  readonly pfn: number;
}

export function decodePagemap(entry: bigint): PagemapWord {
  const bit = (n: bigint): boolean => ((entry >> n) & 1n) === 1n;
  if (((entry >> 59n) & 3n) !== 0n) throw new Error(`pagemap entry ${entry.toString(16)}: bits 59 and 60`);
  return {
    isPresent: bit(63n),
    isSwapped: bit(62n),
    isFile: bit(61n),
    isExclusive: bit(56n),
    isSoftDirty: bit(55n),
    pfn: Number(entry & ((1n << 55n) - 1n)),
  };
}

/** Our text form: a line a page that is there. */
export function parsePagemap(text: string): Map<number, PagemapWord> {
  if (text === "") return new Map();
  const lines = new Lines(text);
  const rows = lines.takeAll(/^([0-9a-f]{16}) ([0-9a-f]{16})$/);
  lines.end();
  return new Map(
    rows.map(([address, entry]) => [Number.parseInt(address, 16), decodePagemap(BigInt(`0x${entry}`))]),
  );
}

const pairs = (rows: readonly string[][]): Map<string, number> =>
  new Map(rows.map(([key, value]) => [key, Number(value)]));
