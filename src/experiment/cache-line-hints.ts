/**
 * What the counts of a cache line say about why it travels, and what would help.
 *
 * Counted are misses: who finds a line gone misses on the first word that it touches, and its accesses to the line's
 * other words then hit.  So a word that causes no transfer may still be in use, and hints say "may" where the counts
 * cannot decide.
 *
 * Hints rest on *units*: a word, or all words of one lock, which belong together.
 */

import type { CacheLine, LineWord, WordRole } from "../machine/line-report.ts";
import { plural } from "./format.ts";

export type HintKind =
  | "false-sharing"
  | "read-mostly"
  | "true-sharing"
  | "contended-lock"
  | "lock-with-data"
  | "guarded-data"
  | "hand-over"
  | "one-writer"
  | "evicted";

export interface Hint {
  readonly kind: HintKind;
  /** Units that it is about, the most important first. */
  readonly fields: readonly string[];
  readonly text: string;
}

/** Fewer transfers and upgrades than these say nothing. */
export const MIN_EVENTS = 64;
/** Lines that cost less than this share of all are not worth advice. */
export const MIN_LINE_SHARE = 0.005;
/** Part of a line's events from which a unit counts. */
const HOT = 0.02;
/** Part of a line's events from which a unit alone explains the line. */
const MAIN = 0.5;
/** Two units have the same users when their distributions over CPUs overlap more than this: 1 equal, 0 disjoint. */
const SAME_USERS = 0.5;
/** Part of a unit's events that are writes: up to this it is read-mostly, from it on written. */
const READ_MOSTLY = 0.05;
/** Part of a unit's writes by one CPU from which it has one writer. */
const ONE_WRITER = 0.9;
/** Part of a line's events that must be due to a write of another CPU, or the line is only evicted. */
const COHERENCE = 0.1;
/** Names listed before "…". */
const LISTED = 4;

interface Unit {
  readonly name: string;
  readonly role: WordRole;
  readonly isCounter: boolean;
  /** The lock that guards it; "" none. */
  readonly guardedBy: string;
  readonly events: number;
  /** Lines fetched that another CPU had written since. */
  readonly modified: number;
  readonly upgrades: number;
  readonly reads: number;
  readonly writes: number;
  readonly writers: ReadonlyMap<number, number>;
  readonly readers: ReadonlyMap<number, number>;
  readonly users: ReadonlyMap<number, number>;
}

/** The hints for `line`, the most certain first; none for a line that costs little. */
export function hintsFor(line: CacheLine): Hint[] {
  const units = unitsOf(line.words);
  const events = sum(units, (unit) => unit.events);
  if (line.share < MIN_LINE_SHARE || events < MIN_EVENTS) return [];
  if (sum(units, (unit) => unit.modified + unit.upgrades) < COHERENCE * events) return [evicted(units)];
  const hot = units.filter((unit) => unit.events >= HOT * events);
  if (hot.every((unit) => unit.guardedBy !== "")) return [guardedData(hot)];
  // What a lock guards is used by whoever has the lock, in whatever numbers: beside its lock it shares nothing falsely.
  const hasLock = hot.some((unit) => unit.role === "lock");
  const loose = hasLock ? hot.filter((unit) => unit.guardedBy === "") : hot;
  return [
    ...falseSharing(loose),
    ...readMostly(loose),
    ...contendedLock(hot, events, line),
    ...trueSharing(hot, events),
    ...oneWriter(hot, events),
    ...handOver(hot, events),
  ];
}

const isWritten = (unit: Unit): boolean => unit.writes > READ_MOSTLY * unit.events;

/** Groups of units with different users, at least one of them written. */
function falseSharing(hot: readonly Unit[]): Hint[] {
  const groups = groupsByUsers(hot.filter(isWritten)).map(inOrder).toSorted(byFirst);
  if (groups.length < 2) return [];
  const listed = groups.slice(0, LISTED).map((group) => {
    return `${who(mergeCounts(group.map((unit) => unit.users)), "uses", "use")} ${names(group)}`;
  });
  const more = groups.length > LISTED ? `, and ${groups.length - LISTED} more like these` : "";
  return [
    {
      kind: "false-sharing",
      fields: groups.flat().map((unit) => unit.name),
      text:
        `false sharing: ${listed.join("; ")}${more}. They share the line but no data: ` +
        "pad them apart, or move them to lines of their own",
    },
  ];
}

/** Units that are only read, and miss because others of the line are written. */
function readMostly(hot: readonly Unit[]): Hint[] {
  const written = hot.filter(isWritten);
  const read = hot.filter((unit) => !isWritten(unit) && unit.modified > 0.5 * unit.reads);
  if (written.length === 0 || read.length === 0) return [];
  const readers = mergeCounts(read.map((unit) => unit.users));
  const writers = mergeCounts(written.map((unit) => unit.users));
  const are = read.length > 1 ? "are" : "is";
  const where = `${names(read)} ${are} only read, beside ${names(written)}, which ${who(writers, "writes", "write")}`;
  const isSure = overlap(readers, writers) <= SAME_USERS;
  return [
    {
      kind: isSure ? "false-sharing" : "read-mostly",
      fields: [...read, ...written].map((unit) => unit.name),
      text: isSure
        ? `false sharing: ${where}: the readers lose the line for nothing. Move what is read to a line that nobody writes`
        : `read-mostly beside written: ${where}. Moving what is read helps if its readers do without the rest of the line`,
    },
  ];
}

/** A lock that several CPUs take, and what lies beside it. */
function contendedLock(hot: readonly Unit[], events: number, line: CacheLine): Hint[] {
  const lock = hot.find((unit) => unit.role === "lock");
  if (lock === undefined || lock.writers.size < 2 || lock.events < 0.3 * events) return [];
  const contended: Hint = {
    kind: "contended-lock",
    fields: [lock.name],
    text:
      `contended lock: ${who(lock.writers, "takes", "take")} ${lock.name} in turn. ` +
      "Take it less often (batches, per-CPU lists), hold it shorter, or split what it guards",
  };
  const others = hot.filter((unit) => unit !== lock);
  const beside = [
    ...others.map((unit) => unit.name),
    ...line.neighbours.filter(({ guard }) => guardingLock(guard) !== "").map(({ name }) => name),
  ];
  if (beside.length === 0) return [contended];
  const taken = sum(others, (unit) => unit.modified + unit.upgrades);
  const note: Hint = {
    kind: "lock-with-data",
    fields: [lock.name, ...beside],
    text:
      `lock with data: ${lock.name} shares its line with ${list(beside)}. Uncontended, one transfer brings both; ` +
      `contended, attempts on the lock take the line from its holder (${taken} times here)`,
  };
  return [contended, note];
}

/** One word that many CPUs write. */
function trueSharing(hot: readonly Unit[], events: number): Hint[] {
  const unit = hot.find((u) => u.role === "data" && u.events >= MAIN * events && isWritten(u));
  if (unit === undefined || unit.writers.size < 2 || topShare(unit.writers) > ONE_WRITER) return [];
  const advice = unit.isCounter
    ? "Count per CPU and fold in batches"
    : "Give each CPU its own, or pass changes on in batches";
  return [
    {
      kind: "true-sharing",
      fields: [unit.name],
      text: `true sharing: ${who(unit.writers, "writes", "all write")} ${unit.name}. ${advice}; padding does not help`,
    },
  ];
}

/** One CPU tells the others. */
function oneWriter(hot: readonly Unit[], events: number): Hint[] {
  const unit = hot.find((u) => u.role === "data" && u.events >= MAIN * events && u.writers.size > 0);
  if (unit === undefined || topShare(unit.writers) < ONE_WRITER) return [];
  const [writer] = [...unit.writers].toSorted((a, b) => b[1] - a[1])[0];
  const readers = new Map([...unit.readers].filter(([cpu]) => cpu !== writer));
  if (readers.size === 0) return [];
  return [
    {
      kind: "one-writer",
      fields: [unit.name],
      text:
        `one writer: cpu ${writer} writes ${unit.name}, ${who(readers, "reads", "read")} it: ` +
        "the CPUs talk to each other. Write or look less often",
    },
  ];
}

/** A node of a queue, a call's record. */
function handOver(hot: readonly Unit[], events: number): Hint[] {
  const unit = hot.find((u) => u.role === "message" && u.events >= MAIN * events);
  if (unit === undefined) return [];
  return [
    {
      kind: "hand-over",
      fields: [unit.name],
      text:
        `hand-over: ${who(unit.users, "passes", "pass")} a lock or a call on through ${unit.name}: ` +
        "the price of waiting for each other, which falls with the waits",
    },
  ];
}

/** Fields that CPUs change in turn, under one lock. */
const guardedData = (hot: readonly Unit[]): Hint => ({
  kind: "guarded-data",
  fields: hot.map((unit) => unit.name),
  text:
    `guarded data: ${who(mergeCounts(hot.map((unit) => unit.users)), "uses", "use")} ${names(hot)} in turn, ` +
    `under ${[...new Set(hot.map((unit) => unit.guardedBy))].join(", ")}: it travels as often as the lock does`,
});

const evicted = (units: readonly Unit[]): Hint => ({
  kind: "evicted",
  fields: units.slice(0, LISTED).map((unit) => unit.name),
  text: "evicted: hardly anybody writes this line; CPUs fetch it again because their caches had no room for it",
});

// ---- units and their users ----

function unitsOf(words: readonly LineWord[]): Unit[] {
  const groups = Map.groupBy(words, (word) => word.unit);
  return [...groups]
    .map(([name, parts]): Unit => {
      const readers = mergeCounts(parts.map((word) => new Map(word.readers)));
      const writers = mergeCounts(parts.map((word) => new Map(word.writers)));
      const upgrades = sum(parts, (word) => word.upgrades);
      const reads = sum(parts, (word) => word.reads);
      const writes = sum(parts, (word) => word.writes) + upgrades;
      return {
        name,
        role: parts[0].role,
        isCounter: parts.some((word) => word.kind === "counter"),
        guardedBy: guardingLock(parts[0].guard),
        events: reads + writes,
        modified: sum(parts, (word) => word.modified),
        upgrades,
        reads,
        writes,
        readers,
        writers,
        users: mergeCounts([readers, writers]),
      };
    })
    .toSorted((a, b) => b.events - a.events || (a.name < b.name ? -1 : 1));
}

/** Units that the same CPUs use, together. */
function groupsByUsers(units: readonly Unit[]): Unit[][] {
  const groups: Unit[][] = [];
  for (const unit of units) {
    const same = groups.filter((group) => group.some((u) => overlap(u.users, unit.users) > SAME_USERS));
    const joined = [...same.flat(), unit];
    for (const group of same) groups.splice(groups.indexOf(group), 1);
    groups.push(joined);
  }
  return groups;
}

const inOrder = (group: readonly Unit[]): Unit[] => group.toSorted((a, b) => b.events - a.events);
const byFirst = ([a]: readonly Unit[], [b]: readonly Unit[]): number =>
  Math.min(...a.users.keys()) - Math.min(...b.users.keys()) || b.events - a.events;

/** How much two distributions over CPUs have in common, 0 to 1. */
function overlap(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number {
  const [totalA, totalB] = [total(a), total(b)];
  let common = 0;
  for (const [cpu, count] of a) common += Math.min(count / totalA, (b.get(cpu) ?? 0) / totalB);
  return common;
}

function mergeCounts(maps: readonly ReadonlyMap<number, number>[]): Map<number, number> {
  const merged = new Map<number, number>();
  for (const map of maps) for (const [cpu, count] of map) merged.set(cpu, (merged.get(cpu) ?? 0) + count);
  return merged;
}

const total = (counts: ReadonlyMap<number, number>): number =>
  [...counts.values()].reduce((a, b) => a + b, 0);
const topShare = (counts: ReadonlyMap<number, number>): number =>
  Math.max(...counts.values()) / total(counts);
const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((result, item) => result + of(item), 0);

// ---- words ----

/** "zone.lock" of the guards "lock:zone.lock" and "hint:zone.lock"; "" of those that are no lock. */
const guardingLock = (guard: string): string =>
  /^(?:hint:|rcu:)?(?:lock:)?(.*lock.*)$/.exec(guard)?.[1] ?? "";

const list = (items: readonly string[]): string =>
  items.length > LISTED ? `${items.slice(0, LISTED).join(", ")}, …` : items.join(", ");
const names = (units: readonly Unit[]): string => list(units.map((unit) => unit.name));

/** "cpu 3 writes", "4 CPUs (0-3) write" */
function who(users: ReadonlyMap<number, number>, one: string, many: string): string {
  const cpus = [...users.keys()];
  if (cpus.length === 1) return `cpu ${cpus[0]} ${one}`;
  return `${plural(cpus.length, "CPU")} (${cpuRanges(cpus)}) ${many}`;
}

/** "0-3, 7" */
export function cpuRanges(cpus: readonly number[]): string {
  const sorted = cpus.toSorted((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const cpu of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === cpu - 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  const texts = ranges.map(([first, end]) => (first === end ? `${first}` : `${first}-${end}`));
  return list(texts);
}
