/** The cases of the kernel's memblock tests alloc_api, alloc_helpers_api and alloc_nid_api without nodes, in our words. */

import { beforeEach, describe, expect, test } from "vitest";
import type { Memblock } from "../../../src/mm/boot/memblock.ts";
import {
  ACCESSIBLE,
  alloc,
  allocExactNodeRaw,
  allocFrom,
  allocTryNode,
  allocTryNodeRaw,
  physAllocRange,
} from "../../../src/mm/boot/memblock-alloc.ts";
import { MemblockFlag } from "../../../src/mm/boot/memblock-ranges.ts";
import { emptyMemblock, regionsOf } from "../../support/memblock.ts";

const KIB = 1024;
const START = 64 * KIB;
const BYTES = 32 * KIB;
const END = START + BYTES;
const LINE = 64;

let memblock: Memblock;

beforeEach(() => {
  memblock = emptyMemblock();
  memblock.add(START, BYTES);
});

/** Each case holds in both directions; the two expected places differ. */
describe.each([
  ["top-down", false],
  ["bottom-up", true],
] as const)("%s", (_direction, bottomUp) => {
  const either = <T>(top: T, bottom: T): T => (bottomUp ? bottom : top);
  beforeEach(() => memblock.setBottomUp(bottomUp));

  test("takes the end of free memory", () => {
    const place = alloc(memblock, 2 * KIB);
    expect(place).toBe(either(END - 2 * KIB, START));
    expect(regionsOf(memblock.reserved)).toEqual([[place, 2 * KIB]]);
  });

  test("merges with a reservation that it touches", () => {
    memblock.reserve(either(END - KIB, START), KIB);
    const place = alloc(memblock, 2 * KIB);
    expect(place).toBe(either(END - 3 * KIB, START + KIB));
    expect(memblock.reserved.count).toBe(1);
  });

  test("keeps apart what alignment separates", () => {
    memblock.reserve(either(END - 100, START), 100);
    const place = alloc(memblock, 512, 1024);
    expect(place).toBe(either(END - KIB, START + KIB));
    expect(memblock.reserved.count).toBe(2);
  });

  test("takes a gap that fits exactly, and merges both sides", () => {
    memblock.reserve(START, 8 * KIB);
    memblock.reserve(START + 12 * KIB, 20 * KIB);
    expect(alloc(memblock, 4 * KIB)).toBe(START + 8 * KIB);
    expect(regionsOf(memblock.reserved)).toEqual([[START, BYTES]]);
  });

  test("prefers the gap that it meets first", () => {
    memblock.reserve(START + 8 * KIB, 16 * KIB);
    expect(alloc(memblock, KIB)).toBe(either(END - KIB, START));
  });

  test("passes over gaps that are too small", () => {
    memblock.reserve(either(END - 8 * KIB, START + KIB), 7 * KIB);
    expect(alloc(memblock, 2 * KIB)).toBe(either(END - 10 * KIB, START + 8 * KIB));
  });

  test("fails without room, without memory, and when all is reserved", () => {
    expect(alloc(memblock, BYTES + 1)).toBe(0);
    memblock.reserve(START, BYTES - KIB);
    expect(alloc(memblock, 2 * KIB)).toBe(0);
    memblock.reserve(START, BYTES);
    expect(alloc(memblock, 1)).toBe(0);
    expect(alloc(emptyMemblock(), 1)).toBe(0);
  });

  test("takes second memory when the first is full", () => {
    memblock.add(2 * END, 8 * KIB);
    memblock.reserve(either(2 * END, START), either(8 * KIB, BYTES));
    expect(alloc(memblock, KIB)).toBe(either(END - KIB, 2 * END));
  });

  test("obeys a range", () => {
    const min = START + 512;
    const max = min + 4 * KIB;
    expect(allocTryNode(memblock, { size: KIB, min, max })).toBe(either(max - KIB, min));
  });

  test("aligns inside a misaligned range", () => {
    const min = START + 512 + 2;
    const max = min + KIB;
    expect(allocTryNode(memblock, { size: 128, min, max })).toBe(
      either(START + 512 + KIB - 128, START + 512 + LINE),
    );
  });

  test("takes a range that fits exactly", () => {
    const min = START + KIB;
    expect(allocTryNode(memblock, { size: KIB, min, max: min + KIB })).toBe(min);
  });

  test("drops a lower bound that cannot be met", () => {
    const min = START + 512;
    expect(allocTryNode(memblock, { size: 512, min, max: min + 256 })).toBe(either(min + 256 - 512, START));
    expect(allocTryNode(memblock, { size: KIB, min: START, max: START + 512 })).toBe(0);
  });

  test("merges with what is reserved at the bounds", () => {
    const min = START + 8 * KIB;
    const max = START + 16 * KIB;
    memblock.reserve(min - KIB, KIB);
    memblock.reserve(max, KIB);
    expect(allocTryNode(memblock, { size: 8 * KIB, min, max })).toBe(min);
    expect(regionsOf(memblock.reserved)).toEqual([[min - KIB, 10 * KIB]]);
  });

  test("caps bounds outside memory", () => {
    const place = allocTryNode(memblock, { size: KIB, min: START - KIB, max: END + KIB });
    expect(place).toBe(either(END - KIB, START));
  });

  test("stays below the current limit, whatever upper bound is given", () => {
    memblock.setCurrentLimit(START + 4 * KIB);
    expect(alloc(memblock, KIB)).toBe(either(START + 3 * KIB, START));
    expect(allocTryNode(memblock, { size: KIB, max: END })).toBe(either(START + 2 * KIB, START + KIB));
    expect(allocTryNode(memblock, { size: 8 * KIB, max: END })).toBe(0);
  });

  test("allocFrom goes above a bound when it can", () => {
    const min = START + 16 * KIB;
    expect(allocFrom(memblock, KIB, LINE, min)).toBe(either(END - KIB, min));
    expect(allocFrom(memblock, KIB, LINE, END)).toBe(either(END - 2 * KIB, START));
    expect(allocFrom(memblock, KIB, LINE, 0)).toBe(either(END - 3 * KIB, START + KIB));
  });

  test("never takes the first page, whose address means failure", () => {
    const low = emptyMemblock();
    low.setBottomUp(bottomUp);
    low.add(0, 8 * KIB);
    // Not zeroed: the memblock of these tests lies there.
    expect(physAllocRange(low, { size: KIB })).toBe(either(7 * KIB, 4 * KIB));
    expect(physAllocRange(low, { size: 4 * KIB })).toBe(0);
  });

  test("prefers mirrored memory and falls back to other", () => {
    memblock.mark(START + 8 * KIB, 4 * KIB, MemblockFlag.MIRROR);
    expect(alloc(memblock, 2 * KIB)).toBe(either(START + 10 * KIB, START + 8 * KIB));
    expect(alloc(memblock, 8 * KIB)).toBe(either(END - 8 * KIB, START));
  });

  test("leaves out what is not mapped, and hot-pluggable memory when asked to", () => {
    memblock.mark(START, 30 * KIB, MemblockFlag.NOMAP);
    expect(alloc(memblock, 4 * KIB)).toBe(0);
    memblock.mark(START, 30 * KIB, MemblockFlag.NOMAP, false);
    memblock.mark(START, 30 * KIB, MemblockFlag.HOTPLUG);
    memblock.setMovableNode(true);
    expect(alloc(memblock, 4 * KIB)).toBe(0);
    memblock.setMovableNode(false);
    expect(alloc(memblock, 4 * KIB)).not.toBe(0);
  });

  test("grows a full list away from what is being reserved", () => {
    const large = emptyMemblock(16 << 20);
    large.setBottomUp(bottomUp);
    large.add(1 << 20, 15 << 20);
    for (let i = 0; i < 128; i++) large.reserve((2 << 20) + i * 8 * KIB, KIB);
    large.allowResize();
    const place = alloc(large, 64 * KIB, 4 * KIB);
    large.check();
    const array = large.reserved.regions * 4;
    expect(array + 8 * KIB <= place || place + 64 * KIB <= array).toBe(true);
    expect(large.isRegionReserved(place, 64 * KIB)).toBe(true);
  });
});

test("a list grows into mirrored memory if it can, else into other", () => {
  const arrayBytes = 8 * KIB;
  for (const [mirrored, expected] of [
    [64 * KIB, (8 << 20) + 64 * KIB - arrayBytes],
    [KIB, (16 << 20) - arrayBytes],
  ]) {
    const large = emptyMemblock(16 << 20);
    large.add(1 << 20, 15 << 20);
    large.mark(8 << 20, mirrored, MemblockFlag.MIRROR);
    large.allowResize();
    for (let i = 0; i < 129; i++) large.reserve((2 << 20) + i * 8 * KIB, KIB);
    large.check();
    expect(large.reserved.regions * 4).toBe(expected);
  }
});

test("what is allocated is zero unless raw", () => {
  for (const [allocate, expected] of [
    [allocTryNode, 0],
    [allocTryNodeRaw, 7],
    [allocExactNodeRaw, 7],
    [physAllocRange, 7],
  ] as const) {
    const fresh = emptyMemblock();
    fresh.add(START, BYTES);
    fresh.ram.fill(START / 4, BYTES / 4, 7);
    const place = allocate(fresh, { size: 130, max: ACCESSIBLE });
    expect(fresh.ram.read(place / 4)).toBe(expected);
    expect(fresh.ram.read((place + 128) / 4)).toBe(expected);
    expect(fresh.ram.read(place / 4 - 1)).toBe(7);
  }
});
