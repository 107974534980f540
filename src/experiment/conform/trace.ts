/**
 * Recorded traces of a real kernel's address-space operations, format vmfuzz-1: one JSON document a line, a header first.
 *
 * What the format means is in test/oracle/vmfuzz/README.md.
 */

import { UsageError } from "../../memory/bug.ts";

export interface TraceHeader {
  readonly format: string;
  readonly pages: number;
  /** Of the arena, as hexadecimal text. */
  readonly base: string;
  readonly profile: string;
  /** Null: there are none. */
  readonly files: Readonly<
    Record<"A" | "B", { readonly pages: number; readonly fill: number | null }>
  > | null;
}

/** A mapping: those of its fields, by name, that the trace has. */
export type TraceMap = Readonly<Record<string, number | string>>;

export type TraceArgs = Readonly<Record<string, number | string | null | readonly string[]>>;
export type TraceResult = Readonly<Record<string, number | string>>;
export type TraceValue = string | number | readonly number[];

export interface TraceRecord {
  readonly i: number;
  readonly op: string;
  /** The operation in the trace's own words, where these are more than its name. */
  readonly label?: string;
  readonly args: TraceArgs;
  readonly ret: TraceResult;
  /** Done before the next record, and not compared. */
  readonly isSetup?: true;
  readonly minflt?: number;
  readonly majflt?: number;
  readonly val?: TraceValue;
  /** Left out when they are as before. */
  readonly maps?: readonly TraceMap[];
  /** Of a fork: what the parent does while the child waits, and what the child does then. */
  readonly parent?: readonly TraceRecord[];
  readonly child?: readonly TraceRecord[];
}

/** What the traces of one format say, and how. */
export interface TraceFormat {
  readonly profile: string;
  /** Fields of a mapping but for its range, the important ones first. */
  readonly fields: readonly string[];
  /** Whether accesses have values; otherwise only what a record names is compared. */
  readonly hasValues: boolean;
  /** A result in the format's words. */
  answer(ret: TraceResult, op: string): TraceResult;
}

export interface Trace {
  readonly name: string;
  readonly format: TraceFormat;
  readonly header: TraceHeader;
  readonly records: readonly TraceRecord[];
}

const FORMAT = "vmfuzz-1";
/** Fields of a mapping, which is an array here. */
const MAP_FIELDS = [
  "start",
  "end",
  "perm",
  "offset",
  "kind",
  "rss",
  "anon",
  "thp",
  "locked",
  "swap",
  "flags",
  "pss",
];
const COMPARED = ["perm", "offset", "kind", "flags", "rss", "anon", "thp", "locked", "swap", "pss"];

/** A record as its line has it. */
type LineRecord = Omit<TraceRecord, "maps" | "parent" | "child"> & {
  readonly maps?: readonly (readonly (number | string)[])[];
  readonly parent?: readonly LineRecord[];
  readonly child?: readonly LineRecord[];
};

/** Reads a trace of this format; a UsageError names the file and the line that is wrong. */
export function parseTrace(name: string, text: string): Trace {
  const [first, ...rest] = text.split("\n").filter((line) => line.trim() !== "");
  const header = parseLine(name, 1, first ?? "") as TraceHeader;
  if (header.format !== FORMAT)
    throw new UsageError(
      `${name}: format ${JSON.stringify(header.format)} is not known; valid is "${FORMAT}"`,
    );
  const records = rest.map((line, i) => recordOf(parseLine(name, i + 2, line) as LineRecord));
  const odd = records.findIndex(({ op, i }, index) => typeof op !== "string" || i !== index);
  if (odd >= 0) throw new UsageError(`${name}, line ${odd + 2}: expected operation ${odd}`);
  const format = { profile: header.profile, fields: COMPARED, hasValues: true, answer: same };
  return { name, format, header, records };
}

const same = (ret: TraceResult): TraceResult => ret;

function recordOf({ maps, parent, child, ...rest }: LineRecord): TraceRecord {
  return {
    ...rest,
    maps: maps?.map((map) => Object.fromEntries(MAP_FIELDS.map((field, i) => [field, map[i]]))),
    parent: parent?.map(recordOf),
    child: child?.map(recordOf),
  };
}

function parseLine(name: string, line: number, text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // told below
  }
  throw new UsageError(`${name}, line ${line}: not a JSON object: ${text.slice(0, 60)}`);
}
