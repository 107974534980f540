/** The cases of the kernel's memblock tests alloc_nid_api and alloc_exact_nid_api with nodes, in our words. */

import { beforeEach, describe, expect, test } from "vitest";
import type { Memblock } from "../../../src/mm/boot/memblock.ts";
import {
  type AllocRequest,
  allocExactNodeRaw,
  allocTryNodeRaw,
} from "../../../src/mm/boot/memblock-alloc.ts";
import { emptyMemblock, regionsOf } from "../../support/memblock.ts";

const KIB = 1024;
const START = 64 * KIB;
/** Eight nodes of unequal size, as the kernel's tests have them. */
const SIZES = [32, 8, 16, 16, 8, 8, 32, 8].map((kib) => kib * KIB);
const nodeStart = (node: number) => START + SIZES.slice(0, node).reduce((sum, size) => sum + size, 0);
const nodeEnd = (node: number) => nodeStart(node) + SIZES[node];
const END = nodeEnd(7);

let memblock: Memblock;

beforeEach(() => {
  memblock = emptyMemblock();
  for (const [node, size] of SIZES.entries()) memblock.addNode(nodeStart(node), size, node);
});

interface Case {
  readonly name: string;
  readonly reserve?: [base: number, size: number][];
  readonly request: AllocRequest;
  /** Where it lands with fallback; 0: nowhere. */
  readonly top: number;
  readonly bottom: number;
  /** With `exact`, where it differs. */
  readonly exactTop?: number;
  readonly exactBottom?: number;
}

const anywhere = { min: START, max: END };

const cases: Case[] = [
  {
    name: "the node has room",
    request: { size: 4 * KIB, node: 3, ...anywhere },
    top: nodeEnd(3) - 4 * KIB,
    bottom: nodeStart(3),
  },
  {
    name: "the node is too small",
    request: { size: 16 * KIB, node: 1, ...anywhere },
    top: nodeEnd(6) - 16 * KIB,
    bottom: START,
    exactTop: 0,
    exactBottom: 0,
  },
  {
    name: "the node is full",
    reserve: [[nodeStart(2), SIZES[2]]],
    request: { size: 4 * KIB, node: 2, ...anywhere },
    top: END - 4 * KIB,
    bottom: START,
    exactTop: 0,
    exactBottom: 0,
  },
  {
    name: "the node is partly reserved and has room",
    reserve: [[nodeStart(4) + 3 * KIB, 2 * KIB]],
    request: { size: 2 * KIB, node: 4, ...anywhere },
    top: nodeEnd(4) - 2 * KIB,
    bottom: nodeStart(4),
  },
  {
    name: "the node is partly reserved and has no gap large enough",
    reserve: [[nodeStart(4) + 3 * KIB, 2 * KIB]],
    request: { size: 4 * KIB, node: 4, ...anywhere },
    top: END - 4 * KIB,
    bottom: START,
    exactTop: 0,
    exactBottom: 0,
  },
  {
    name: "the range ends in the next node",
    request: { size: KIB, node: 6, min: nodeEnd(6) - 2 * KIB, max: nodeEnd(6) + 2 * KIB },
    top: nodeEnd(6) - KIB,
    bottom: nodeEnd(6) - 2 * KIB,
  },
  {
    name: "the range begins in the node before",
    request: { size: KIB, node: 3, min: nodeStart(3) - 2 * KIB, max: nodeStart(3) + 2 * KIB },
    top: nodeStart(3) + KIB,
    bottom: nodeStart(3),
  },
  {
    name: "the range spans two other nodes: any place in it, and exactly there the bound is dropped",
    request: { size: KIB, node: 2, min: nodeEnd(5) - 2 * KIB, max: nodeStart(6) + 2 * KIB },
    top: nodeStart(6) + KIB,
    bottom: nodeEnd(5) - 2 * KIB,
    exactTop: nodeEnd(2) - KIB,
    exactBottom: nodeStart(2),
  },
  {
    name: "the range lies wholly below the node",
    request: { size: KIB, node: 6, min: nodeStart(0), max: nodeEnd(2) },
    top: nodeEnd(2) - KIB,
    bottom: nodeStart(0),
    exactTop: 0,
    exactBottom: 0,
  },
  {
    name: "the range lies wholly above the node",
    request: { size: KIB, node: 0, min: nodeStart(5), max: nodeEnd(6) },
    top: nodeEnd(6) - KIB,
    bottom: nodeStart(5),
    exactTop: nodeEnd(0) - KIB,
    exactBottom: nodeStart(0),
  },
  {
    name: "nothing is large enough anywhere",
    request: { size: END - START + KIB, node: 3, ...anywhere },
    top: 0,
    bottom: 0,
  },
  {
    name: "the gap in the node fits exactly",
    reserve: [
      [nodeStart(6), 8 * KIB],
      [nodeEnd(6) - 8 * KIB, 8 * KIB],
    ],
    request: { size: 16 * KIB, node: 6, min: nodeStart(6), max: nodeEnd(6) },
    top: nodeStart(6) + 8 * KIB,
    bottom: nodeStart(6) + 8 * KIB,
  },
];

describe.each([
  ["top-down", false],
  ["bottom-up", true],
] as const)("%s", (_direction, bottomUp) => {
  test.each(cases)("$name", ({ reserve, request, top, bottom, exactTop = top, exactBottom = bottom }) => {
    memblock.setBottomUp(bottomUp);
    for (const range of reserve ?? []) memblock.reserve(...range);
    const before = memblock.reserved.totalBytes;
    const place = allocTryNodeRaw(memblock, request);
    expect(place).toBe(bottomUp ? bottom : top);
    expect(memblock.reserved.totalBytes).toBe(before + (place === 0 ? 0 : request.size));
    if (place !== 0) memblock.free(place, request.size);
    expect(allocExactNodeRaw(memblock, request)).toBe(bottomUp ? exactBottom : exactTop);
    memblock.check();
  });
});

test("a fully merged node is one reservation", () => {
  for (let i = 0; i < 4; i++) expect(allocExactNodeRaw(memblock, { size: 2 * KIB, node: 1 })).not.toBe(0);
  expect(regionsOf(memblock.reserved)).toEqual([[nodeStart(1), SIZES[1]]]);
  expect(allocExactNodeRaw(memblock, { size: 64, node: 1 })).toBe(0);
});

test("a node's free ranges are its own", () => {
  memblock.reserve(nodeStart(2) + KIB, KIB);
  expect([...memblock.freeRanges(2)]).toEqual([
    { start: nodeStart(2), end: nodeStart(2) + KIB, node: 2 },
    { start: nodeStart(2) + 2 * KIB, end: nodeEnd(2), node: 2 },
  ]);
});
