/**
 * The tables of a real kernel, recorded in kernel-tables.md, against what smpsim computes: every figure exactly.
 */

import { describe, expect, test } from "vitest";
import { PAGE_BYTES } from "../../src/memory/units.ts";
import {
  hugePageMinFreeKbytes,
  inactiveRatio,
  lowmemReserves,
  minFreeKbytes,
  pageListSizes,
  statThreshold,
  zoneWatermarks,
} from "../../src/mm/boot/sizing.ts";
import { ZONE_INDEXES, ZONE_NAMES, ZoneIndex } from "../../src/mm/pages/zone-index.ts";
import { slabLayout } from "../../src/mm/slab/slab-layout.ts";
import { bootOnly } from "../support/boot.ts";
import { recordedTable as table, recorded as text } from "../support/kernel-tables.ts";

/** The recorded machine. */
const CPUS = 2;
const MIN_FREE_KBYTES = Number(/min_free_kbytes = (\d+)/.exec(text)![1]);
const SCALE_FACTOR = Number(/watermark_scale_factor = (\d+)/.exec(text)![1]);
const RATIOS = [256, 256, 32, 0, 0, 0];

/** Numbers of a cell such as "63 / 6118 / 48307" or "0, 3019, 5195". */
const numbers = (cell: string): number[] => cell.split(/[/,]/).map(Number);

/** Pages of "512", "1 GB", "16 MB": MB where no unit is given. */
function pagesOf(size: string): number {
  const [, count, unit] = /^(\d+) ?(MB|GB|TB)?$/.exec(size)!;
  const mib = Number(count) * { MB: 1, GB: 1024, TB: 1024 ** 2 }[unit ?? "MB"]!;
  return (mib * 2 ** 20) / PAGE_BYTES;
}

/**
 * This row comes from a comment in the kernel's source, whose 8 GB figure doubles the one of 2 GB; the kernel computes
 * floor(sqrt(16 * 8388608)).
 */
const COMPUTED: Readonly<Record<string, number>> = { "8 GB": 11_585 };

describe("min_free_kbytes", () => {
  const [head, values] = table("min_free_kbytes without THP");
  test.each(head.slice(1).map((size, i) => [size, Number(values[i + 1])] as const))(
    "of %s",
    (size, expected) => {
      expect(minFreeKbytes(pagesOf(size))).toBe(COMPUTED[size] ?? expected);
    },
  );

  test("with huge pages is 67584 kB for 3 zones", () => {
    const lowmem = table("Zones")
      .slice(1)
      .reduce((sum, row) => sum + Number(row[1]), 0);
    expect(hugePageMinFreeKbytes(3, lowmem)).toBe(MIN_FREE_KBYTES);
  });
});

describe("zones", () => {
  const rows = table("Zones").slice(1);
  const zones = rows.map(([name, managed, min, low, high, promo, protection, pcp, threshold]) => ({
    name,
    index: ZONE_NAMES.indexOf(name),
    managed: Number(managed),
    marks: { min: Number(min), low: Number(low), high: Number(high), promo: Number(promo) },
    protection: numbers(protection),
    pcp: numbers(pcp),
    threshold: Number(threshold),
  }));
  const lowmemManaged = zones.reduce((sum, zone) => sum + zone.managed, 0);
  const managedByIndex = Array.from(
    { length: ZONE_INDEXES },
    (_, i) => zones.find((zone) => zone.index === i)?.managed ?? 0,
  );

  test("are three", () => {
    expect(zones.map((zone) => zone.name)).toEqual(["DMA", "DMA32", "Normal"]);
  });

  test.each(zones)("$name: marks", ({ index, managed, marks }) => {
    expect(
      zoneWatermarks({
        zoneIndex: index,
        managed,
        lowmemManaged,
        minFreeKbytes: MIN_FREE_KBYTES,
        scaleFactor: SCALE_FACTOR,
      }),
    ).toEqual(marks);
  });

  test.each(zones)("$name: protection", ({ index, protection }) => {
    const reserves = lowmemReserves(managedByIndex, RATIOS)[index];
    expect(reserves.slice(0, protection.length)).toEqual(protection);
  });

  test.each(zones)("$name: page lists", ({ managed, marks, pcp }) => {
    const sizes = pageListSizes({ managed, low: marks.low, nodeCpus: CPUS, cpus: CPUS, highFraction: 0 });
    expect([sizes.batch, sizes.highMin, sizes.highMax]).toEqual(pcp);
  });

  test.each(zones)("$name: counter threshold", ({ managed, threshold }) => {
    expect(statThreshold.normal(CPUS, managed)).toBe(threshold);
  });
});

describe("slab layout", () => {
  const [head, ...rows] = table("Slab layout");
  const cells = rows.flatMap(([size, ...columns]) =>
    columns.map((cell, i) => ({ size: Number(size), cpus: Number(head[i + 1]), cell })),
  );

  test("has a cell for each of 19 sizes and 5 numbers of CPUs", () => {
    expect(cells.length).toBe(19 * 5);
  });

  test.each(cells)("$size bytes on $cpus CPUs: $cell", ({ size, cpus, cell }) => {
    const { order, objects } = slabLayout({ objectBytes: size }, cpus);
    expect(`${order},${objects}`).toBe(cell);
  });
});

test("inactive ratio", () => {
  const line = text.split("\n").find((candidate) => candidate.startsWith("100 MB 1 "))!;
  const entries = [...line.matchAll(/(\d+ (?:MB|GB|TB)) (\d+)/g)].map(
    ([, size, ratio]) => [size, Number(ratio)] as const,
  );
  expect(entries.length).toBe(6);
  for (const [size, ratio] of entries) expect([size, inactiveRatio(pagesOf(size))]).toEqual([size, ratio]);
});

test("the DMA zone at rest", () => {
  const [, free, counts] = /DMA at rest: (\d+) free pages, free blocks by order 0–10: ([\d ]+)\./.exec(text)!;
  const { allocators, mm } = bootOnly({ cpus: CPUS, memoryBytes: 512 * 2 ** 20 });
  const { buddy } = allocators[0];
  const byOrder = counts.split(" ").map((_, order) => buddy.blocks(mm.zoneAt(0, ZoneIndex.DMA), order));
  expect(byOrder).toEqual(counts.split(" ").map(Number));
  expect(byOrder.reduce((sum, count, order) => sum + (count << order), 0)).toBe(Number(free));
});
