/**
 * The screen of slabtop: totals, then a line a cache, sorted, and how much each has grown since the first look.
 *
 * procps slabtop.c.  Differs: the column GROWTH, active objects since the first look, which shows leaks.
 */

import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { CacheSample } from "../mm/slab/cache-sample.ts";

/** A cache at one moment, beside what it had at the first. */
export interface SlabtopRow extends CacheSample {
  readonly cacheBytes: number;
  /** Active of all objects, 0 to 1. */
  readonly use: number;
  /** Active objects more than at the first look. */
  readonly growth: number;
}

export interface SlabtopSort {
  /** slabtop's letter. */
  readonly key: string;
  readonly name: string;
}

type Measure = (row: SlabtopRow) => number | string;
const SORTS: readonly (SlabtopSort & { readonly measure: Measure })[] = [
  { key: "o", name: "objects", measure: (row) => row.objects },
  { key: "a", name: "active", measure: (row) => row.activeObjects },
  { key: "u", name: "use", measure: (row) => row.use },
  { key: "s", name: "size", measure: (row) => row.objectBytes },
  { key: "l", name: "slabs", measure: (row) => row.slabs },
  { key: "v", name: "active-slabs", measure: (row) => row.activeSlabs },
  { key: "b", name: "per-slab", measure: (row) => row.objectsPerSlab },
  { key: "p", name: "pages", measure: (row) => row.pagesPerSlab },
  { key: "c", name: "cache-size", measure: (row) => row.cacheBytes },
  { key: "g", name: "growth", measure: (row) => row.growth },
  { key: "n", name: "name", measure: (row) => row.name },
];

/** The sorts, by letter and name. */
export const SLABTOP_SORTS: readonly SlabtopSort[] = SORTS;

/** The sort of a letter or a name.  Throws UsageError if there is none. */
export function slabtopSort(text: string): SlabtopSort {
  const found = SORTS.find(({ key, name }) => text === key || text === name);
  if (found !== undefined) return found;
  const names = SORTS.map(({ name }) => name);
  const valid = SORTS.map(({ key, name }) => `${key} (${name})`).join(", ");
  throw new UsageError(`--sort: "${text}" is not valid${didYouMean(text, names)}; valid are ${valid}`);
}

/** Rows of one look, largest first; names ascend. */
export function slabtopRows(
  now: readonly CacheSample[],
  first: readonly CacheSample[],
  sort: SlabtopSort,
): SlabtopRow[] {
  const before = new Map(first.map((cache) => [cache.name, cache.activeObjects]));
  const measure = SORTS.find(({ key }) => key === sort.key)?.measure ?? ((row: SlabtopRow) => row.objects);
  const rows = now.map((cache) => ({
    ...cache,
    cacheBytes: cache.slabs * cache.pagesPerSlab * PAGE_BYTES,
    use: cache.objects === 0 ? 0 : cache.activeObjects / cache.objects,
    growth: cache.activeObjects - (before.get(cache.name) ?? 0),
  }));
  return rows.toSorted((a, b) => {
    const [x, y] = [measure(a), measure(b)];
    return typeof x === "string" || typeof y === "string" ? (x < y ? -1 : x > y ? 1 : 0) : y - x;
  });
}

const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(2)}K`;
const percent = (part: number, all: number): string => `${(all === 0 ? 0 : (100 * part) / all).toFixed(1)}%`;
const COLUMNS = [6, 6, 4, 8, 6, 8, 10, 8];

/** The lines of a screen; at most `mostRows` caches. */
export function slabtopLines(rows: readonly SlabtopRow[], mostRows = Infinity): string[] {
  const sum = (of: (row: SlabtopRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const pair = (title: string, active: number, all: number, show: (n: number) => string = String): string =>
    ` ${title.padEnd(35)}: ${show(active)} / ${show(all)} (${percent(active, all)})`;
  const objects = sum((row) => row.objects);
  const activeBytes = sum((row) => row.activeObjects * row.objectBytes);
  const bytes = sum((row) => row.objects * row.objectBytes);
  const sizes = rows.length === 0 ? [0] : rows.map((row) => row.objectBytes);
  const bounds = [Math.min(...sizes), objects === 0 ? 0 : bytes / objects, Math.max(...sizes)];
  const line = (cells: readonly (string | number)[], name: string): string =>
    `${cells.map((cell, i) => String(cell).padStart(COLUMNS[i])).join(" ")} ${name}`;
  return [
    pair(
      "Active / Total Objects (% used)",
      sum((row) => row.activeObjects),
      objects,
    ),
    pair(
      "Active / Total Slabs (% used)",
      sum((row) => row.activeSlabs),
      sum((row) => row.slabs),
    ),
    pair("Active / Total Caches (% used)", rows.filter((row) => row.activeObjects > 0).length, rows.length),
    pair("Active / Total Size (% used)", activeBytes, bytes, kilobytes),
    ` ${"Minimum / Average / Maximum Object".padEnd(35)}: ${bounds.map(kilobytes).join(" / ")}`,
    "",
    line(["OBJS", "ACTIVE", "USE", "OBJ SIZE", "SLABS", "OBJ/SLAB", "CACHE SIZE", "GROWTH"], "NAME"),
    ...rows.slice(0, mostRows).map((row) => {
      const use = `${Math.floor(100 * row.use)}%`;
      const growth = row.growth > 0 ? `+${row.growth}` : row.growth;
      const size = `${(row.cacheBytes / 1024).toFixed(0)}K`;
      const cells = [row.objects, row.activeObjects, use, kilobytes(row.objectBytes), row.slabs];
      return line([...cells, row.objectsPerSlab, size, growth], row.name);
    }),
  ];
}
