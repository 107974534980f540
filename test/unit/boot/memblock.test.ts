/** What memblock answers and how it is trimmed, flagged and checked. */

import { describe, expect, test } from "vitest";
import { type Memblock, MemblockState } from "../../../src/mm/boot/memblock.ts";
import { MemblockFlag } from "../../../src/mm/boot/memblock-ranges.ts";
import { INIT_REGIONS, MemblockType, NO_NODE } from "../../../src/mm/boot/memblock-regions.ts";
import { emptyMemblock, fullRegionsOf, regionsOf, STATE } from "../../support/memblock.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const totalWord = STATE + MemblockState.memory + MemblockType.totalBytes;
const capacityWord = STATE + MemblockState.memory + MemblockType.capacity;

type Pair = [base: number, size: number];

describe("nodes and flags", () => {
  test("of touching regions must agree for them to merge", () => {
    const memblock = emptyMemblock();
    memblock.addNode(0, MIB, 0);
    memblock.addNode(MIB, MIB, 1);
    memblock.addNode(2 * MIB, MIB, 1, MemblockFlag.HOTPLUG);
    memblock.addNode(3 * MIB, MIB, 1, MemblockFlag.HOTPLUG);
    expect(fullRegionsOf(memblock.memory)).toEqual([
      [0, MIB, 0, 0],
      [MIB, MIB, 1, 0],
      [2 * MIB, 2 * MIB, 1, MemblockFlag.HOTPLUG],
    ]);
    expect([0, MIB, 4 * MIB].map((address) => memblock.nodeOf(address))).toEqual([0, 1, NO_NODE]);
  });

  test("what is there keeps its node when more is added over it", () => {
    const memblock = emptyMemblock();
    memblock.addNode(MIB, MIB, 3, MemblockFlag.MIRROR);
    memblock.addNode(0, 4 * MIB, 5);
    expect(fullRegionsOf(memblock.memory)).toEqual([
      [0, MIB, 5, 0],
      [MIB, MIB, 3, MemblockFlag.MIRROR],
      [2 * MIB, 2 * MIB, 5, 0],
    ]);
  });

  test("setNode and mark split at the range's borders and merge again", () => {
    const memblock = emptyMemblock();
    memblock.addNode(0, 8 * MIB, 0);
    expect(memblock.setNode(memblock.memory, 2 * MIB, 2 * MIB, 1)).toBe(true);
    expect(memblock.memory.count).toBe(3);
    memblock.mark(3 * MIB, 2 * MIB, MemblockFlag.NOMAP);
    expect(memblock.memory.count).toBe(5);
    expect([memblock.isMemory(3 * MIB), memblock.isMapMemory(3 * MIB), memblock.isMapMemory(MIB)]).toEqual([
      true,
      false,
      true,
    ]);
    memblock.mark(3 * MIB, 2 * MIB, MemblockFlag.NOMAP, false);
    memblock.setNode(memblock.memory, 2 * MIB, 2 * MIB, 0);
    expect(fullRegionsOf(memblock.memory)).toEqual([[0, 8 * MIB, 0, 0]]);
  });

  test("markNoInit marks reserved memory", () => {
    const memblock = emptyMemblock();
    memblock.reserve(0, 4 * MIB);
    memblock.markNoInit(MIB, MIB);
    expect(fullRegionsOf(memblock.reserved).map((region) => region[3])).toEqual([
      0,
      MemblockFlag.RSRV_NOINIT,
      0,
    ]);
  });

  test("setNode and mark refuse when the list is full", () => {
    const memblock = emptyMemblock();
    for (let i = 0; i < INIT_REGIONS; i++) memblock.add(GIB + i * 8 * KIB, 4 * KIB);
    expect(memblock.setNode(memblock.memory, GIB, KIB, 1)).toBe(false);
    expect(memblock.mark(GIB, KIB, MemblockFlag.NOMAP)).toBe(false);
    expect(memblock.capMemory(GIB, KIB)).toBe(false);
  });
});

describe("trimming", () => {
  const trimmed = (regions: Pair[], align: number) => {
    const memblock = emptyMemblock();
    for (const [base, size] of regions) memblock.add(base, size);
    memblock.trimMemory(align);
    memblock.check();
    return regionsOf(memblock.memory);
  };
  test("keeps aligned regions", () => {
    expect(
      trimmed(
        [
          [0, 64 * KIB],
          [MIB, 64 * KIB],
        ],
        64 * KIB,
      ),
    ).toEqual([
      [0, 64 * KIB],
      [MIB, 64 * KIB],
    ]);
  });
  test("removes what is smaller than the alignment", () => {
    expect(
      trimmed(
        [
          [0, 64 * KIB],
          [65 * KIB, 60 * KIB],
        ],
        64 * KIB,
      ),
    ).toEqual([[0, 64 * KIB]]);
  });
  test("cuts a misaligned base and end", () => {
    expect(
      trimmed(
        [
          [KIB, 130 * KIB],
          [192 * KIB, 65 * KIB],
        ],
        64 * KIB,
      ),
    ).toEqual([
      [64 * KIB, 64 * KIB],
      [192 * KIB, 64 * KIB],
    ]);
  });

  test("enforceLimit counts memory over holes and drops reservations beyond", () => {
    const memblock = emptyMemblock();
    memblock.add(0, MIB);
    memblock.add(4 * MIB, 4 * MIB);
    memblock.reserve(512 * KIB, 6 * MIB);
    memblock.enforceLimit(2 * MIB);
    expect(regionsOf(memblock.memory)).toEqual([
      [0, MIB],
      [4 * MIB, MIB],
    ]);
    expect(memblock.reserved.end(0)).toBe(5 * MIB);
    memblock.enforceLimit(GIB);
    expect(memblock.memory.totalBytes).toBe(2 * MIB);
  });

  test("capMemory keeps a range, and NOMAP regions anywhere", () => {
    const memblock = emptyMemblock();
    memblock.add(0, 8 * MIB);
    memblock.mark(7 * MIB, MIB, MemblockFlag.NOMAP);
    memblock.reserve(0, 3 * MIB);
    memblock.capMemory(2 * MIB, 2 * MIB);
    expect(regionsOf(memblock.memory)).toEqual([
      [2 * MIB, 2 * MIB],
      [7 * MIB, MIB],
    ]);
    expect(regionsOf(memblock.reserved)).toEqual([[2 * MIB, MIB]]);
  });
});

describe("questions", () => {
  const memblock = emptyMemblock();
  memblock.add(MIB, MIB);
  memblock.add(4 * MIB, MIB);
  memblock.reserve(MIB + 4 * KIB, 4 * KIB);

  test("borders are inclusive below and exclusive above", () => {
    expect([MIB - 1, MIB, 2 * MIB - 1, 2 * MIB].map((a) => memblock.isMemory(a))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect([MIB + 4 * KIB, MIB + 8 * KIB].map((a) => memblock.isReserved(a))).toEqual([true, false]);
  });
  test("a range is memory only as a whole, and reserved in any part", () => {
    expect([memblock.isRegionMemory(MIB, MIB), memblock.isRegionMemory(MIB, MIB + 1)]).toEqual([true, false]);
    expect([memblock.isRegionReserved(MIB, 4 * KIB), memblock.isRegionReserved(MIB, 4 * KIB + 1)]).toEqual([
      false,
      true,
    ]);
  });
  test("memory begins and ends where its first and last region do", () => {
    expect([memblock.startOfMemory(), memblock.endOfMemory()]).toEqual([MIB, 5 * MIB]);
  });
  test("overlaps sees a range that touches at either end as outside", () => {
    const overlaps = (base: number, size: number) => memblock.memory.overlaps(base, size);
    expect([
      overlaps(0, MIB),
      overlaps(0, MIB + 1),
      overlaps(2 * MIB, 2 * MIB),
      overlaps(2 * MIB - 1, 1),
    ]).toEqual([false, true, false, true]);
  });
  test("free ranges are memory without what is reserved", () => {
    expect([...memblock.freeRanges()].map((range) => [range.start, range.end])).toEqual([
      [MIB, MIB + 4 * KIB],
      [MIB + 8 * KIB, 2 * MIB],
      [4 * MIB, 5 * MIB],
    ]);
  });
});

describe("check finds", () => {
  const broken = (breakIt: (memblock: Memblock) => void) => {
    const memblock = emptyMemblock();
    memblock.add(MIB, MIB);
    memblock.add(4 * MIB, MIB);
    memblock.add(8 * MIB, MIB);
    breakIt(memblock);
    return () => memblock.check();
  };
  test.each<[string, (memblock: Memblock) => void, RegExp]>([
    ["an empty region", (m) => m.memory.resize(1, 4 * MIB, 0), /memory\[1\] 0x400000 \+ 0: is empty/],
    ["an overlap", (m) => m.memory.resize(1, 2 * MIB - 1, MIB), /memory\[1\] .* overlaps the region before/],
    ["a missed merge", (m) => m.memory.resize(1, 2 * MIB, MIB), /should have merged/],
    ["a wrong total", (m) => m.ram.writeFloat64(totalWord, 5), /total 5, regions sum to 3145728/],
    ["too many regions", (m) => m.ram.write(capacityWord, 2), /3 regions of 2/],
    [
      "an array that is not reserved",
      (m) => m.memory.moveTo(65536, 256),
      /array of 256 regions at 0x40000 is not reserved/,
    ],
  ])("%s", (_name, breakIt, message) => {
    expect(broken(breakIt)).toThrow(message);
  });
});
