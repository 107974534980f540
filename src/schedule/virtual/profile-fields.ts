/**
 * The fields of a profile and the range of each: wide enough for any machine that was built, narrow enough to catch a
 * figure in the wrong unit (nanoseconds for cycles, MHz for GHz).
 */

import { WORK_NAMES } from "../../memory/work.ts";

/** A number from `min` to `max`. */
export interface NumberField {
  readonly kind: "number";
  readonly min: number;
  readonly max: number;
  readonly whole: boolean;
}

export type Field =
  | NumberField
  | { readonly kind: "text" }
  /** By path of another field, a text. */
  | { readonly kind: "notes" }
  /** At least `least` of `of`. */
  | { readonly kind: "list"; readonly of: Field; readonly least: number }
  | ObjectField;

export interface ObjectField {
  readonly kind: "object";
  readonly fields: Readonly<Record<string, Field>>;
  readonly optional: readonly string[];
}

const text: Field = { kind: "text" };
const number = (min: number, max: number): Field => ({ kind: "number", min, max, whole: false });
const whole = (min: number, max: number): Field => ({ kind: "number", min, max, whole: true });
const list = (of: Field, least: number): Field => ({ kind: "list", of, least });
const object = (fields: ObjectField["fields"], optional: readonly string[] = []): ObjectField => ({
  kind: "object",
  fields,
  optional,
});

const PLAIN = number(0.25, 5000);
const MARKED = number(0.25, 10_000);
const transfer = object({ plain: PLAIN, marked: MARKED });
const DISTANCE = whole(11, 255);
const MISS = number(1, 10_000);
const INTERRUPT = number(0, 100_000);

export const PROFILE_FIELDS: ObjectField = object(
  {
    name: text,
    description: text,
    source: text,
    notes: { kind: "notes" },
    clockGHz: number(0.1, 10),
    machine: object(
      {
        sockets: whole(1, 8),
        nodes: whole(1, 8),
        clusterCpus: whole(1, 256),
        cacheBytes: whole(64 * 1024, 2 ** 30),
        maxCpus: whole(1, 256),
        distances: list(list(whole(10, 255), 1), 1),
      },
      ["clusterCpus", "cacheBytes"],
    ),
    access: object({
      hit: number(0.25, 20),
      locked: number(0, 500),
      bulkLine: number(0, 100),
      pause: number(1, 1000),
    }),
    upgrade: transfer,
    transfer: object({
      cluster: transfer,
      socket: transfer,
      nodes: list(object({ distance: DISTANCE, plain: PLAIN, marked: MARKED }), 1),
    }),
    memory: object({
      local: MISS,
      marked: MISS,
      stream: MISS,
      streamWindowLines: whole(0, 1024),
      nodes: list(object({ distance: DISTANCE, miss: MISS, stream: MISS }), 1),
    }),
    cacheLines: whole(64, 2 ** 20),
    interrupt: object({ send: INTERRUPT, deliver: INTERRUPT, entry: INTERRUPT, acknowledge: INTERRUPT }),
    work: object(Object.fromEntries(WORK_NAMES.map((name) => [name, number(0, 1_000_000)]))),
  },
  ["notes"],
);
