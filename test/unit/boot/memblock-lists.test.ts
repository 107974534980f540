/** The cases of the kernel's own memblock tests (tools/testing/memblock, basic_api), in our words. */

import { describe, expect, test } from "vitest";
import type { Memblock } from "../../../src/mm/boot/memblock.ts";
import { INIT_REGIONS, PHYS_ADDR_MAX } from "../../../src/mm/boot/memblock-regions.ts";
import { emptyMemblock, regionsOf } from "../../support/memblock.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

type Pair = [base: number, size: number];

describe("a fresh memblock", () => {
  test("is empty, top-down and without limit", () => {
    const memblock = emptyMemblock();
    expect([memblock.memory.count, memblock.reserved.count]).toEqual([0, 0]);
    expect([memblock.memory.capacity, memblock.reserved.capacity]).toEqual([INIT_REGIONS, INIT_REGIONS]);
    expect(memblock.bottomUp).toBe(false);
    expect(memblock.currentLimit).toBe(PHYS_ADDR_MAX);
    expect([memblock.startOfMemory(), memblock.endOfMemory()]).toEqual([0, 0]);
  });
});

/** Adding to either list merges in the same way. */
describe.each([
  ["add", (m: Memblock, base: number, size: number) => m.add(base, size), (m: Memblock) => m.memory],
  [
    "reserve",
    (m: Memblock, base: number, size: number) => m.reserve(base, size),
    (m: Memblock) => m.reserved,
  ],
] as const)("%s", (_name, put, listOf) => {
  const cases: [name: string, put: Pair[], expected: Pair[]][] = [
    ["one region", [[GIB, 4 * MIB]], [[GIB, 4 * MIB]]],
    [
      "two disjoint",
      [
        [GIB, 8 * KIB],
        [GIB + 16 * MIB, 8 * KIB],
      ],
      [
        [GIB, 8 * KIB],
        [GIB + 16 * MIB, 8 * KIB],
      ],
    ],
    [
      "overlap at the top",
      [
        [512 * MIB, GIB],
        [256 * MIB, 512 * MIB],
      ],
      [[256 * MIB, GIB + 256 * MIB]],
    ],
    [
      "overlap at the bottom",
      [
        [128 * MIB, 512 * MIB],
        [256 * MIB, GIB],
      ],
      [[128 * MIB, GIB + 128 * MIB]],
    ],
    [
      "within",
      [
        [8 * MIB, 32 * MIB],
        [16 * MIB, MIB],
      ],
      [[8 * MIB, 32 * MIB]],
    ],
    [
      "the same twice",
      [
        [16 * KIB, 2 * MIB],
        [16 * KIB, 2 * MIB],
      ],
      [[16 * KIB, 2 * MIB]],
    ],
    [
      "between two",
      [
        [GIB, 8 * KIB],
        [GIB + 16 * KIB, 8 * KIB],
        [GIB + 8 * KIB, 8 * KIB],
      ],
      [[GIB, 24 * KIB]],
    ],
    [
      "over several gaps",
      [
        [64 * KIB, KIB],
        [96 * KIB, KIB],
        [128 * KIB, KIB],
        [32 * KIB, 128 * KIB],
      ],
      [[32 * KIB, 128 * KIB]],
    ],
    ["nothing", [[GIB, 0]], []],
    ["near the top of all addresses", [[PHYS_ADDR_MAX - MIB, 4 * MIB]], [[PHYS_ADDR_MAX - MIB, MIB]]],
  ];
  test.each(cases)("%s", (_case, input, expected) => {
    const memblock = emptyMemblock();
    for (const [base, size] of input) expect(put(memblock, base, size)).toBe(true);
    const list = listOf(memblock);
    expect(regionsOf(list)).toEqual(expected);
    expect(list.totalBytes).toBe(expected.reduce((sum, [, size]) => sum + size, 0));
    memblock.check();
  });

  test("more regions than fit moves the list to a reserved array twice as large", () => {
    const memblock = emptyMemblock(16 * MIB);
    memblock.add(8 * MIB, 4 * MIB);
    memblock.allowResize();
    const list = listOf(memblock);
    for (let i = 0; i < 2 * INIT_REGIONS; i++) expect(put(memblock, 32 * MIB + i * 2 * KIB, KIB)).toBe(true);
    expect(list.capacity).toBe(4 * INIT_REGIONS);
    const arrayAt = list.regions * 4;
    expect(arrayAt).toBeGreaterThanOrEqual(8 * MIB);
    expect(memblock.isRegionReserved(arrayAt, 12 * KIB)).toBe(true);
    const added = regionsOf(list).filter(([base]) => base >= 32 * MIB);
    expect(added.length).toBe(2 * INIT_REGIONS);
    memblock.check();
  });

  test("a full list without leave to grow, or without room, refuses", () => {
    const memblock = emptyMemblock();
    for (let i = 0; i < INIT_REGIONS; i++) put(memblock, GIB + i * 2 * KIB, KIB);
    expect(put(memblock, 4 * GIB, KIB)).toBe(false);
    // Beyond RAM would be no place for an array, and a limit keeps it away from there.
    memblock.setCurrentLimit(0);
    memblock.allowResize();
    expect(put(memblock, 4 * GIB, KIB)).toBe(false);
    expect(listOf(memblock).count).toBe(INIT_REGIONS);
    memblock.check();
  });
});

/** Taking away from either list splits in the same way. */
describe.each([
  [
    "remove",
    (m: Memblock, b: number, s: number) => m.add(b, s),
    (m: Memblock, b: number, s: number) => m.remove(b, s),
    (m: Memblock) => m.memory,
  ],
  [
    "free",
    (m: Memblock, b: number, s: number) => m.reserve(b, s),
    (m: Memblock, b: number, s: number) => m.free(b, s),
    (m: Memblock) => m.reserved,
  ],
] as const)("%s", (_name, put, take, listOf) => {
  const cases: [name: string, put: Pair[], take: Pair, expected: Pair[]][] = [
    [
      "one of two",
      [
        [2 * KIB, 4 * KIB],
        [128 * KIB, 4 * MIB],
      ],
      [2 * KIB, 4 * KIB],
      [[128 * KIB, 4 * MIB]],
    ],
    ["what is not there", [[512 * MIB, 4 * MIB]], [64 * MIB, GIB / 8], [[512 * MIB, 4 * MIB]]],
    ["overlap at the top", [[32 * MIB, 32 * MIB]], [16 * MIB, 32 * MIB], [[48 * MIB, 16 * MIB]]],
    ["overlap at the bottom", [[2 * MIB, 64 * MIB]], [32 * MIB, 256 * MIB], [[2 * MIB, 30 * MIB]]],
    [
      "within",
      [[MIB, 4 * MIB]],
      [3 * MIB, MIB],
      [
        [MIB, 2 * MIB],
        [4 * MIB, MIB],
      ],
    ],
    ["the only one", [[2 * KIB, 4 * KIB]], [2 * KIB, 4 * KIB], []],
    [
      "near the top of all addresses",
      [[PHYS_ADDR_MAX - 2 * MIB, 2 * MIB]],
      [PHYS_ADDR_MAX - MIB, 2 * MIB],
      [[PHYS_ADDR_MAX - 2 * MIB, MIB]],
    ],
    [
      "over two",
      [
        [16 * MIB, 32 * MIB],
        [64 * MIB, 64 * MIB],
      ],
      [32 * MIB, 64 * MIB],
      [
        [16 * MIB, 16 * MIB],
        [96 * MIB, 32 * MIB],
      ],
    ],
    ["nothing", [[MIB, MIB]], [MIB, 0], [[MIB, MIB]]],
  ];
  test.each(cases)("%s", (_case, input, gone, expected) => {
    const memblock = emptyMemblock();
    for (const [base, size] of input) put(memblock, base, size);
    expect(take(memblock, ...gone)).toBe(true);
    expect(regionsOf(listOf(memblock))).toEqual(expected);
    memblock.check();
  });

  test("a split that finds the list full refuses", () => {
    const memblock = emptyMemblock();
    for (let i = 0; i < INIT_REGIONS; i++) put(memblock, GIB + i * 8 * KIB, 4 * KIB);
    expect(take(memblock, GIB + KIB, KIB)).toBe(false);
    memblock.check();
  });
});

test("a list that has grown and cannot be reserved stops the machine", () => {
  const memblock = emptyMemblock();
  for (let i = 0; i < INIT_REGIONS; i++) {
    memblock.add(GIB + i * 8 * KIB, 4 * KIB);
    memblock.reserve(GIB + i * 8 * KIB, 4 * KIB);
  }
  // The one free place takes the memory list; then the full list of reservations has none to grow into.
  memblock.free(GIB, 4 * KIB);
  memblock.reserve(2 * GIB, KIB);
  memblock.memory.resize(0, 512 * KIB, 8 * KIB);
  memblock.allowResize();
  expect(() => memblock.add(3 * GIB, KIB)).toThrow(/cannot reserve the grown memory list at 0x80000/);
});
