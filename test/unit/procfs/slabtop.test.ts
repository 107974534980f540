/** The screen of slabtop from given figures, and when a watch looks and ends. */

import { describe, expect, test } from "vitest";
import { type Look, pause, type WatchOptions, watchSlabs } from "../../../src/cli/top-watch.ts";
import type { CacheSample } from "../../../src/mm/slab/cache-sample.ts";
import { SLABTOP_SORTS, slabtopLines, slabtopRows, slabtopSort } from "../../../src/procfs/slabtop.ts";

const cache = (name: string, active: number, objects: number, objectBytes: number): CacheSample => ({
  name,
  objectBytes,
  objectsPerSlab: 16,
  pagesPerSlab: 2,
  activeObjects: active,
  objects,
  activeSlabs: Math.ceil(active / 16),
  slabs: Math.ceil(objects / 16),
});
const FIRST = [cache("inodes", 10, 32, 512), cache("bios", 40, 48, 200)];
const NOW = [cache("inodes", 60, 64, 512), cache("bios", 24, 48, 200), cache("empty", 0, 0, 24)];

test("totals, then a line a cache with what it has grown", () => {
  const rows = slabtopRows(NOW, FIRST, slabtopSort("o"));
  expect(slabtopLines(rows)).toEqual([
    " Active / Total Objects (% used)    : 84 / 112 (75.0%)",
    " Active / Total Slabs (% used)      : 6 / 7 (85.7%)",
    " Active / Total Caches (% used)     : 2 / 3 (66.7%)",
    " Active / Total Size (% used)       : 34.69K / 41.38K (83.8%)",
    " Minimum / Average / Maximum Object : 0.02K / 0.37K / 0.50K",
    "",
    "  OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE   GROWTH NAME",
    "    64     60  93%    0.50K      4       16        32K      +50 inodes",
    "    48     24  50%    0.20K      3       16        24K      -16 bios",
    "     0      0   0%    0.02K      0       16         0K        0 empty",
  ]);
  expect(slabtopLines(rows, 1)).toHaveLength(8);
});

test("no cache at all", () => {
  expect(slabtopLines([])[0]).toBe(" Active / Total Objects (% used)    : 0 / 0 (0.0%)");
});

describe("sorts", () => {
  test.each([
    ["o", ["inodes", "bios", "empty"]],
    ["active", ["inodes", "bios", "empty"]],
    ["s", ["inodes", "bios", "empty"]],
    ["growth", ["inodes", "empty", "bios"]],
    ["n", ["bios", "empty", "inodes"]],
    ["c", ["inodes", "bios", "empty"]],
  ])("by %s", (key, names) => {
    expect(slabtopRows(NOW, FIRST, slabtopSort(key)).map(({ name }) => name)).toEqual(names);
  });

  test("each has a letter of its own, and none is q", () => {
    const keys = SLABTOP_SORTS.map(({ key }) => key);
    expect(new Set([...keys, "q"]).size).toBe(keys.length + 1);
  });

  test("others are refused", () => {
    expect(() => slabtopSort("activ")).toThrow(
      '--sort: "activ" is not valid (did you mean active?); valid are o (objects), a (active)',
    );
  });
});

describe("a watch", () => {
  const machine = (
    looks: readonly (readonly CacheSample[])[],
  ): { sampleSlabs(): CacheSample[]; taken: number } => ({
    taken: 0,
    sampleSlabs(): CacheSample[] {
      return [...(looks[Math.min(this.taken++, looks.length - 1)] ?? [])];
    },
  });
  async function watched(
    looks: readonly (readonly CacheSample[])[],
    options: Partial<WatchOptions>,
  ): Promise<{ shown: { look: Look; first: Look; key: string }[]; waits: number[] }> {
    const shown: { look: Look; first: Look; key: string }[] = [];
    const waits: number[] = [];
    const keys = ["", "", "n", "q"];
    await watchSlabs(machine(looks), {
      delaySeconds: 2,
      seconds: Infinity,
      mostLooks: Infinity,
      signal: new AbortController().signal,
      show: (look, first, key) => shown.push({ look, first, key }),
      ...options,
      wait: async (seconds, signal) => {
        waits.push(seconds);
        return options.wait?.(seconds, signal) ?? keys.shift() ?? "q";
      },
    });
    return { shown, waits };
  }

  test("waits for the first cache, measures from there, and ends with q", async () => {
    const { shown, waits } = await watched([[], FIRST, NOW], {});
    expect(waits).toEqual([0.1, 0.1, 2, 2]);
    expect(shown.map(({ look, first, key }) => [look.caches, first.caches, key])).toEqual([
      [NOW, FIRST, "n"],
    ]);
  });

  test("ends after so many looks", async () => {
    const { shown } = await watched([FIRST], { mostLooks: 3, wait: async () => "" });
    expect(shown).toHaveLength(3);
  });

  test("ends with its time, and at once with the signal", async () => {
    const { shown } = await watched([FIRST], { seconds: 0.05, delaySeconds: 0.02, wait: pause });
    expect(shown.length).toBeGreaterThan(0);
    const gone = new AbortController();
    const begun = performance.now();
    setTimeout(() => gone.abort(), 10);
    await watched([FIRST], { delaySeconds: 60, seconds: 600, signal: gone.signal, wait: pause });
    expect(performance.now() - begun).toBeLessThan(30_000);
  });
});
