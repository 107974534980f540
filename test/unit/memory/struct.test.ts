import { describe, expect, test } from "vitest";
import { ImageLayout } from "../../../src/memory/image.ts";
import { Regions } from "../../../src/memory/regions.ts";
import {
  align,
  array,
  chooseOverlayBy,
  embed,
  float64,
  layoutOf,
  overlay,
  struct,
  word,
  wordsIn,
} from "../../../src/memory/struct.ts";

const Lock = struct("test_lock", { value: word("atomic"), owner: word("owner-cpu") });
const Thing = struct("test_thing", {
  tag: word("atomic", "flags"),
  count: float64("owner-cpu"),
  lock: embed(Lock, "atomic"),
  ring: array(3, "boot"),
  line: align(16),
  last: word("lock:lock", "pointer:test_thing"),
});
const Free = overlay(
  Thing,
  { name: "free", tag: 1, startWord: 6 },
  { next: word("lock:lock"), prev: word("lock:lock") },
);
const Used = overlay(Thing, { name: "used", tag: 2, startWord: 6 }, { owner: word("atomic") });
chooseOverlayBy(Thing, (read, at) => read(at));

describe("struct declarations", () => {
  test("fields follow each other, float64s are even, align opens a new line", () => {
    expect({ ...Thing }).toEqual({ tag: 0, count: 2, lock: 4, ring: 6, line: 16, last: 16 });
    expect(wordsIn(Thing)).toBe(17);
    expect(layoutOf(Thing).fields.map((f) => f.guard)).toEqual([
      "atomic",
      "owner-cpu",
      "atomic",
      "boot",
      "lock:lock",
    ]);
  });

  test("overlays lie over the words from their start and may not leave the struct", () => {
    expect(Free).toEqual({ next: 6, prev: 7 });
    expect(Used).toEqual({ owner: 6 });
    expect(() => overlay(Thing, { name: "big", tag: 3, startWord: 16 }, { a: array(2, "boot") })).toThrow(
      "past 17",
    );
    expect(() => overlay(Thing, { name: "twin", tag: 1, startWord: 6 }, { a: word("boot") })).toThrow(
      "two overlays",
    );
  });

  test("regions name an address by region, index, field, overlay and embedded struct", () => {
    const regions = new Regions();
    regions.add("things", 100, Thing, 4, 32);
    const words = new Map([[132, 1]]);
    const read = (at: number): number => words.get(at) ?? 0;
    expect(regions.describe(100, read)).toBe("things[0].tag");
    expect(regions.describe(105, read)).toBe("things[0].lock.owner");
    expect(regions.describe(107, read)).toBe("things[0].ring[1]");
    expect(regions.describe(148, read)).toBe("things[1].last");
    expect(regions.describe(139, read)).toBe("things[1].free.prev");
    expect(regions.describe(140, read)).toBe("things[1].ring[2]");
    expect(regions.find(105, read)).toMatchObject({
      path: "lock.owner",
      partPath: "lock",
      part: { name: "test_lock" },
    });
    expect(regions.describe(99, read)).toBe("ram+0x18c");
    expect(regions.describe(228, read)).toBe("ram+0x390");
  });

  test("the innermost of nested regions names an address", () => {
    const regions = new Regions();
    const read = (): number => 0;
    regions.add("inner", 110, Lock);
    regions.add("outer", 100, Lock, 50, 2);
    regions.add("later", 150, Lock, 2, 2);
    expect(regions.describe(111, read)).toBe("inner.owner");
    expect(regions.describe(112, read)).toBe("outer[6].value");
    expect(regions.describe(152, read)).toBe("later[1].value");
    expect(regions.describe(199, read)).toBe("outer[49].owner");
    expect(regions.describe(200, read)).toBe("ram+0x320");
  });

  test("an image binds statics and per-CPU slots to their places", () => {
    const image = new ImageLayout();
    const thing = image.place("thing", Thing, 2);
    const lock = image.place("lock", Lock);
    const each = image.perCpu("each", Lock);
    expect([image.staticWords, image.perCpuWords]).toEqual([64, 16]);
    image.bind({ staticStart: 1024, perCpuStart: 4096, unitWords: 256 });
    expect([thing.at(1), lock.address, each.of(0), each.of(3)]).toEqual([1042, 1072, 4096, 4864]);
    expect(() => thing.at(2)).toThrow("thing[2]: valid are 0 to 1");
  });
});
