import { describe, expect, test } from "vitest";
import { HighAtomic } from "../../../src/mm/pages/high-atomic.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { listed, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { MOVABLE, UNMOVABLE, HIGHATOMIC, CMA } = MigrateType;

interface Reserve {
  readonly machine: PageFixture;
  readonly highAtomic: HighAtomic;
  reserved(): number;
  reserve(pfn: number, order: number): void;
  unreserve(force: boolean, type?: number): boolean;
}

function reserveOf(pages: number): Reserve {
  const machine = pageFixture({ zones: [{ startPfn: 1024, pages }] });
  const highAtomic = new HighAtomic(machine.pages.buddy, machine.locks[0]);
  const zone = machine.zones[0];
  return {
    machine,
    highAtomic,
    reserved: () => machine.memory.read(zone + Zone.nrReservedHighatomic),
    reserve: (pfn, order) => highAtomic.reserve(zone, machine.pages.frames.pageOf(pfn), order),
    unreserve: (force, type = UNMOVABLE) =>
      highAtomic.unreserve(
        {
          gfp: 0,
          order: 0,
          first: machine.pages.frames.nodeAt(0) + Node.fallback,
          highestZone: 2,
          type,
          nodeMask: -1,
        },
        force,
      ),
  };
}

describe("reserving", () => {
  test("takes the page's pageblock with its free blocks", () => {
    const { machine, reserve, reserved } = reserveOf(102_400);
    const pfn = take(machine, 3);
    reserve(pfn, 3);
    expect(reserved()).toBe(512);
    expect(machine.pages.frames.blockType(pfn)).toBe(HIGHATOMIC);
    expect(machine.memory.read(machine.zones[0] + Zone.nrFreeHighatomic)).toBe(504);
    expect(listed(machine, 8, HIGHATOMIC)).toEqual([1024 + 256]);
    machine.check();
  });

  test("ends at about 1 % of the zone, whole pageblocks", () => {
    const { machine, reserve, reserved } = reserveOf(102_400);
    for (let i = 0; i < 4; i++) {
      const pfn = take(machine, 9);
      machine.pages.buddy.freeBlock(machine.zones[0], pfn, 8, MOVABLE, false);
      reserve(pfn + 256, 3);
    }
    expect(reserved()).toBe(1024);
    machine.check();
  });

  test("takes nothing from a zone of which 1 % is less than a pageblock", () => {
    const { machine, reserve, reserved } = reserveOf(51_199);
    reserve(take(machine, 3), 3);
    expect(reserved()).toBe(0);
  });

  test("leaves pageblocks of other special types", () => {
    const { machine, reserve, reserved } = reserveOf(102_400);
    const pfn = take(machine, 3);
    machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, CMA);
    reserve(pfn, 3);
    expect(reserved()).toBe(0);
  });

  test("of a large block takes all its pageblocks", () => {
    const { machine, reserve, reserved } = reserveOf(102_400);
    reserve(take(machine, 10), 10);
    expect(reserved()).toBe(1024);
    expect([1024, 1536].map((pfn) => machine.pages.frames.blockType(pfn))).toEqual([HIGHATOMIC, HIGHATOMIC]);
    machine.check();
  });

  test("leaves a pageblock that reaches beyond the zone", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1500, pages: 102_400 }] });
    const highAtomic = new HighAtomic(machine.pages.buddy, machine.locks[0]);
    highAtomic.reserve(machine.zones[0], machine.pages.frames.pageOf(1501), 0);
    expect(machine.pages.frames.blockType(1501)).toBe(MOVABLE);
  });
});

describe("letting go", () => {
  test("gives a pageblock with free pages to the type that asks", () => {
    const { machine, reserve, reserved, unreserve } = reserveOf(102_400);
    reserve(take(machine, 10), 10);
    machine.pages.buddy.freeBlock(machine.zones[0], 1024, 3, HIGHATOMIC, false);
    expect(unreserve(false)).toBe(true);
    expect(reserved()).toBe(512);
    expect(machine.pages.frames.blockType(1024)).toBe(UNMOVABLE);
    expect(listed(machine, 3, UNMOVABLE)).toEqual([1024]);
    machine.check();
  });

  test("keeps the last pageblock of a zone until it is forced", () => {
    const { machine, reserve, reserved, unreserve } = reserveOf(102_400);
    reserve(take(machine, 3), 3);
    expect(unreserve(false)).toBe(false);
    expect(unreserve(true)).toBe(true);
    expect(reserved()).toBe(0);
    expect(unreserve(true)).toBe(false);
    machine.check();
  });

  test("of free blocks larger than a pageblock gives all of it", () => {
    const { machine, reserve, reserved, unreserve } = reserveOf(204_800);
    const pfn = take(machine, 10);
    reserve(pfn, 10);
    for (const half of [pfn, pfn + 512]) {
      machine.pages.buddy.freeBlock(machine.zones[0], half, 9, HIGHATOMIC, false);
    }
    expect(listed(machine, 10, HIGHATOMIC)).toEqual([pfn]);
    expect(unreserve(false, MOVABLE)).toBe(true);
    expect(reserved()).toBe(0);
    machine.check();
  });

  test("has nothing to give while all reserved pages are in use", () => {
    const { machine, reserve, reserved, unreserve } = reserveOf(102_400);
    reserve(take(machine, 10), 10);
    expect(unreserve(true)).toBe(false);
    expect(reserved()).toBe(1024);
  });
});
