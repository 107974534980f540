/**
 * A schedule as one word of text: everything that a replay needs, to paste into a command or an issue.
 *
 *   smp1:<scenario>:<cpus>:<mutants>:<seed>/<strategy>/<execution>/<step limit>:<start>-<steps>-<end>:<tape>
 *
 * `start` is a hash of RAM before the first step, `end` one of the failure.  The tape holds the decisions as varints of
 * (steps since the last one, CPU, timed out?), then two bytes of checksum over everything before, in base64url: a string
 * that lost a character is refused, not replayed as something else.
 */

import { UsageError } from "../../memory/bug.ts";
import { MAX_EXPLORE_CPUS, MAX_TAPE_ENTRIES } from "./state.ts";
import { TIMED_OUT } from "./strategy.ts";

const VERSION = "smp1";
const FIELDS = ["version", "scenario", "cpus", "mutants", "strategy", "fingerprint", "tape"];

export interface Schedule {
  /** Name of a scenario, or the path of a module. */
  readonly scenario: string;
  readonly cpus: number;
  readonly mutants: readonly string[];
  readonly seed: number;
  /** What found it: "random", "pct3". */
  readonly strategy: string;
  readonly execution: number;
  readonly stepLimit: number;
  /** Hash of RAM before the first step. */
  readonly start: number;
  /** Steps up to the failure. */
  readonly steps: number;
  /** Hash of the failure: its kind, and the state of RAM and CPUs. */
  readonly end: number;
  /** Pairs (step, cpu); a CPU's `TIMED_OUT` bit says that its timed wait ran out. */
  readonly tape: Int32Array;
}

export function formatSchedule(schedule: Schedule): string {
  const head = [
    VERSION,
    encodeURIComponent(schedule.scenario),
    schedule.cpus,
    schedule.mutants.length === 0 ? "-" : schedule.mutants.join(","),
    [schedule.seed, schedule.strategy, schedule.execution, schedule.stepLimit].join("/"),
    [hex(schedule.start), schedule.steps, hex(schedule.end)].join("-"),
  ].join(":");
  const bytes = packTape(schedule.tape, schedule.cpus);
  const sum = checksum(head, bytes);
  return `${head}:${Buffer.from([...bytes, sum & 0xff, sum >>> 8]).toString("base64url")}`;
}

/** Reads a schedule string back.  Throws UsageError that says which part is wrong. */
export function parseSchedule(text: string): Schedule {
  const parts = text.trim().split(":");
  if (parts[0] !== VERSION) {
    throw new UsageError(
      `schedule: "${clip(text)}" does not begin with "${VERSION}:"; valid is a schedule that explore printed`,
    );
  }
  if (parts.length !== FIELDS.length) {
    throw new UsageError(
      `schedule: it has ${parts.length} parts; valid are ${FIELDS.length} (${FIELDS.join(", ")}), divided by ":"`,
    );
  }
  const [, scenario, cpusText, mutants, origin, fingerprint, tapeText] = parts;
  const cpus = wholeNumber("cpus", cpusText, 1, MAX_EXPLORE_CPUS);
  const bytes = unpackBase64(tapeText);
  const head = parts.slice(0, -1).join(":");
  const given = bytes[bytes.length - 2] | (bytes[bytes.length - 1] << 8);
  if (bytes.length < 2 || checksum(head, bytes.subarray(0, -2)) !== given) {
    throw new UsageError("schedule: its checksum is wrong: a part was changed or is missing");
  }
  const [seed, strategy, execution, stepLimit] = split("strategy", origin, "/", 4);
  const [start, steps, end] = split("fingerprint", fingerprint, "-", 3);
  return {
    scenario: decodeURIComponent(scenario),
    cpus,
    mutants: mutants === "-" ? [] : mutants.split(","),
    seed: wholeNumber("seed", seed, 0, 0xffffffff),
    strategy,
    execution: wholeNumber("execution", execution, 0, 0x7fffffff),
    stepLimit: wholeNumber("step limit", stepLimit, 1, 0x7fffffff),
    start: hexNumber("fingerprint", start),
    steps: wholeNumber("steps", steps, 0, 0x7fffffff),
    end: hexNumber("fingerprint", end),
    tape: unpackTape(bytes.subarray(0, -2), cpus),
  };
}

function packTape(tape: Int32Array, cpus: number): number[] {
  const bytes: number[] = [];
  let before = 0;
  for (let i = 0; i < tape.length; i += 2) {
    const cpu = tape[i + 1];
    const choice = (cpu & ~TIMED_OUT) + ((cpu & TIMED_OUT) !== 0 ? cpus : 0);
    let value = (tape[i] - before) * 2 * cpus + choice;
    before = tape[i];
    for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value & 0x7f) | 0x80);
    bytes.push(value);
  }
  return bytes;
}

function unpackTape(bytes: Uint8Array, cpus: number): Int32Array {
  const tape: number[] = [];
  let step = 0;
  let value = 0;
  let scale = 1;
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale;
    scale *= 0x80;
    if ((byte & 0x80) !== 0) continue;
    const choice = value % (2 * cpus);
    step += Math.floor(value / (2 * cpus));
    tape.push(step, choice < cpus ? choice : (choice - cpus) | TIMED_OUT);
    value = 0;
    scale = 1;
  }
  const entries = tape.length / 2;
  const isWhole = scale === 1 && step <= 0x7fffffff && entries <= MAX_TAPE_ENTRIES && tape[0] === 0;
  if (!isWhole)
    throw new UsageError("schedule: its tape is damaged; valid is a schedule that explore printed");
  return Int32Array.from(tape);
}

function unpackBase64(text: string): Uint8Array {
  const odd = /[^A-Za-z0-9_-]/.exec(text);
  if (odd !== null) {
    throw new UsageError(
      `schedule: its tape has the character "${odd[0]}"; valid are letters, digits, - and _`,
    );
  }
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) {
    throw new UsageError("schedule: its last character is wrong: a part was changed or is missing");
  }
  return bytes;
}

/** Fletcher's checksum over the head and the tape, 16 bits. */
function checksum(head: string, bytes: ArrayLike<number>): number {
  let low = 1;
  let high = 0;
  const add = (value: number): void => {
    low = (low + value) % 255;
    high = (high + low) % 255;
  };
  for (let i = 0; i < head.length; i++) add(head.charCodeAt(i) & 0xff);
  for (let i = 0; i < bytes.length; i++) add(bytes[i]);
  return (high << 8) | low;
}

function split(part: string, text: string, by: string, count: number): string[] {
  const pieces = text.split(by);
  if (pieces.length === count) return pieces;
  throw new UsageError(
    `schedule: part ${part} is "${clip(text)}"; valid are ${count} values divided by "${by}"`,
  );
}

function wholeNumber(part: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(
    `schedule: part ${part} is "${clip(text)}"; valid are whole numbers from ${min} to ${max}`,
  );
}

function hexNumber(part: string, text: string): number {
  if (/^[0-9a-f]{8}$/.test(text)) return Number.parseInt(text, 16);
  throw new UsageError(`schedule: part ${part} has "${clip(text)}"; valid are 8 hexadecimal digits`);
}

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
const clip = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
