/**
 * memblock against a bitmap.  Goal: any sequence of operations leaves the same bytes present and reserved, in the
 * fewest regions, and an allocation lies where the model says.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Memblock } from "../../../src/mm/boot/memblock.ts";
import { physAllocRange } from "../../../src/mm/boot/memblock-alloc.ts";
import { NO_NODE } from "../../../src/mm/boot/memblock-regions.ts";
import { emptyMemblock, fullRegionsOf } from "../../support/memblock.ts";

const UNIT = 1024;
const UNITS = 256;
/** The model begins above memblock's own state and ends inside RAM. */
const START = 512 * UNIT;
const FIRST_PAGE_UNITS = 4;

interface Model {
  /** Node + 1 of each unit that exists, 0 elsewhere. */
  readonly present: number[];
  readonly reserved: boolean[];
}

const range = fc.record({ at: fc.nat(UNITS - 1), length: fc.integer({ min: 0, max: UNITS }) });
const operation = fc.oneof(
  fc.record({ kind: fc.constantFrom("add", "remove", "reserve", "free", "node"), range, node: fc.nat(2) }),
  fc.record({
    kind: fc.constant("alloc"),
    range,
    node: fc.integer({ min: -1, max: 2 }),
    size: fc.integer({ min: 1, max: 40 }),
    align: fc.constantFrom(1, 2, 4, 16),
    exact: fc.boolean(),
    bottomUp: fc.boolean(),
  }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

test("random operations agree with a bitmap", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const memblock = emptyMemblock();
      const model: Model = { present: new Array(UNITS).fill(0), reserved: new Array(UNITS).fill(false) };
      for (const op of operations) {
        apply(memblock, model, op);
        memblock.check();
        expect(fullRegionsOf(memblock.memory)).toEqual(
          runs(model.present.map((node) => (node === 0 ? null : node - 1))),
        );
        expect(fullRegionsOf(memblock.reserved)).toEqual(
          runs(model.reserved.map((is) => (is ? NO_NODE : null))),
        );
        expect(freeUnits(memblock)).toEqual(model.present.map((node, i) => node !== 0 && !model.reserved[i]));
      }
    }),
    { numRuns: 300, seed: 20_241_117 },
  );
});

function apply(memblock: Memblock, model: Model, op: Operation): void {
  const first = op.range.at;
  const end = Math.min(UNITS, first + op.range.length);
  const base = START + first * UNIT;
  const size = (end - first) * UNIT;
  const each = (change: (i: number) => void) => {
    for (let i = first; i < end; i++) change(i);
  };
  if (op.kind === "add") {
    memblock.addNode(base, size, op.node);
    each((i) => {
      if (model.present[i] === 0) model.present[i] = op.node + 1;
    });
  } else if (op.kind === "remove") {
    memblock.remove(base, size);
    each((i) => {
      model.present[i] = 0;
    });
  } else if (op.kind === "reserve" || op.kind === "free") {
    if (op.kind === "reserve") memblock.reserve(base, size);
    else memblock.free(base, size);
    each((i) => {
      model.reserved[i] = op.kind === "reserve";
    });
  } else if (op.kind === "node") {
    memblock.setNode(memblock.memory, base, size, op.node);
    each((i) => {
      if (model.present[i] !== 0) model.present[i] = op.node + 1;
    });
  } else if ("align" in op) {
    allocate(memblock, model, op, { first, end });
  }
}

function allocate(
  memblock: Memblock,
  model: Model,
  op: Extract<Operation, { align: number }>,
  bounds: { first: number; end: number },
): void {
  memblock.setBottomUp(op.bottomUp);
  const place = physAllocRange(
    memblock,
    {
      size: op.size * UNIT,
      align: op.align * UNIT,
      min: START + bounds.first * UNIT,
      // An upper bound of 0 would mean "accessible"; the model's lowest is START.
      max: START + bounds.end * UNIT,
      node: op.node,
    },
    op.exact,
  );
  let expected = modelPlace(model, op, bounds, op.node);
  if (expected < 0 && op.node >= 0 && !op.exact) expected = modelPlace(model, op, bounds, -1);
  expect(place).toBe(expected < 0 ? 0 : START + expected * UNIT);
  if (expected >= 0) model.reserved.fill(true, expected, expected + op.size);
}

/** The first or last aligned run of free units of one node; -1 when there is none. */
function modelPlace(
  model: Model,
  op: { size: number; align: number; bottomUp: boolean },
  bounds: { first: number; end: number },
  node: number,
): number {
  const isFree = (at: number) => {
    const owner = model.present[at];
    if (owner === 0 || (node >= 0 && owner !== node + 1)) return false;
    for (let i = at; i < at + op.size; i++) if (model.present[i] !== owner || model.reserved[i]) return false;
    return true;
  };
  const startUnit = START / UNIT;
  const places: number[] = [];
  for (let at = bounds.first; at + op.size <= bounds.end; at++) {
    if ((startUnit + at) % op.align === 0 && at + startUnit >= FIRST_PAGE_UNITS && isFree(at))
      places.push(at);
  }
  return (op.bottomUp ? places[0] : places.at(-1)) ?? -1;
}

/** Maximal runs of equal values, as memblock's regions; null is a gap. */
function runs(values: readonly (number | null)[]): number[][] {
  const regions: number[][] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null) continue;
    const last = regions.at(-1);
    const base = START + i * UNIT;
    if (last !== undefined && last[0] + last[1] === base && last[2] === value) last[1] += UNIT;
    else regions.push([base, UNIT, value, 0]);
  }
  return regions;
}

function freeUnits(memblock: Memblock): boolean[] {
  const free: boolean[] = new Array(UNITS).fill(false);
  for (const { start, end } of memblock.freeRanges())
    free.fill(true, (start - START) / UNIT, (end - START) / UNIT);
  return free;
}
