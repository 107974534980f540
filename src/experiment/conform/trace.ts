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
  readonly files: Readonly<Record<"A" | "B", { readonly pages: number; readonly fill: number | null }>>;
}

/** A mapping: start, end, perm, offset, kind, rss, anon, thp, locked, swap, flags, pss. */
export type TraceMap = readonly [
  number,
  number,
  string,
  number,
  string,
  number,
  number,
  number,
  number,
  number,
  string,
  number,
];

export type TraceArgs = Readonly<Record<string, number | string | null | readonly string[]>>;
export type TraceResult = Readonly<Record<string, number | string>>;
export type TraceValue = string | number | readonly number[];

export interface TraceRecord {
  readonly i: number;
  readonly op: string;
  readonly args: TraceArgs;
  readonly ret: TraceResult;
  readonly minflt?: number;
  readonly majflt?: number;
  readonly val?: TraceValue;
  /** Left out when they are as before. */
  readonly maps?: readonly TraceMap[];
  /** Of a fork: what the parent does while the child waits, and what the child does then. */
  readonly parent?: readonly TraceRecord[];
  readonly child?: readonly TraceRecord[];
}

export interface Trace {
  readonly name: string;
  readonly header: TraceHeader;
  readonly records: readonly TraceRecord[];
}

const FORMAT = "vmfuzz-1";

/** Reads a trace; a UsageError names the file and the line that is wrong. */
export function parseTrace(name: string, text: string): Trace {
  const [first, ...rest] = text.split("\n").filter((line) => line.trim() !== "");
  const header = parseLine(name, 1, first ?? "") as TraceHeader;
  if (header.format !== FORMAT)
    throw new UsageError(
      `${name}: format ${JSON.stringify(header.format)} is not known; valid is "${FORMAT}"`,
    );
  const records = rest.map((line, i) => parseLine(name, i + 2, line) as TraceRecord);
  const odd = records.findIndex(({ op, i }, index) => typeof op !== "string" || i !== index);
  if (odd >= 0) throw new UsageError(`${name}, line ${odd + 2}: expected operation ${odd}`);
  return { name, header, records };
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
