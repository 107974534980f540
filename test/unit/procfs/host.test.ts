/**
 * Reports in Linux's format.  One grammar reads the host's files and ours; our keys are the host's, in the same order; and
 * the host's own numbers, printed by our lines, give the host's text again.
 */

import { expect, test } from "vitest";
import { buddyinfo } from "../../../src/procfs/buddyinfo.ts";
import { interrupts } from "../../../src/procfs/interrupts.ts";
import * as layout from "../../../src/procfs/layout.ts";
import { meminfo } from "../../../src/procfs/meminfo.ts";
import { pagetypeinfo } from "../../../src/procfs/pagetypeinfo.ts";
import { vmstat } from "../../../src/procfs/vmstat.ts";
import { zoneinfo } from "../../../src/procfs/zoneinfo.ts";
import { compareKeys, hostFile } from "../../support/host-proc.ts";
import * as grammar from "../../support/proc-grammar.ts";
import { procSource } from "../../support/proc-source.ts";

const source = procSource({ cpus: 2, memoryBytes: 128 << 20 });
const lines = (text: string): string[] => text.slice(0, -1).split("\n");

test("buddyinfo", () => {
  const print = (rows: readonly grammar.ZoneRow[]): string[] =>
    rows.map(({ node, zone, counts }) => layout.buddyLine(node, zone, counts));
  for (const text of [buddyinfo(source), hostFile("buddyinfo")]) {
    if (text === null) continue;
    const rows = grammar.parseBuddyinfo(text);
    expect(rows.length).toBeGreaterThan(0);
    expect(print(rows)).toEqual(lines(text));
  }
});

test("pagetypeinfo", () => {
  const types: string[][] = [];
  for (const text of [pagetypeinfo(source), hostFile("pagetypeinfo")]) {
    if (text === null) continue;
    const nodes = grammar.parsePagetypeinfo(text);
    expect(nodes.length).toBeGreaterThan(0);
    const printed = nodes.flatMap(({ free, types: names, blocks }) => [
      layout.tableHead(
        "Free pages count per migrate type at order",
        44,
        free[0].counts.map((_, order) => order),
        6,
      ),
      ...free
        .filter(({ isCut }) => !isCut)
        .map(({ node, zone, type, counts }) => layout.typeLine(node, zone, type, counts)),
      layout.tableHead("Number of blocks type", 23, names, 12),
      ...blocks.map(({ node, zone, counts }) => layout.blocksLine(node, zone, counts)),
    ]);
    const all = lines(text);
    expect(printed.filter((line) => !all.includes(line))).toEqual([]);
    types.push([...nodes[0].types]);
  }
  if (types.length === 2) compareKeys("pagetypeinfo", types[0], types[1]);
});

/** All names in a zone's section, in order. */
function zoneKeys(zone: grammar.ZoneSection): string[] {
  const { values } = zone.pagesets[0];
  return [...zone.nodeStats.keys(), ...zone.sizes.keys(), ...zone.stats.keys(), ...values.keys()].map(
    (key, i) =>
      // Marks and page lists both have a "high".
      i >= zone.nodeStats.size + zone.sizes.size + zone.stats.size ? `pageset ${key}` : key,
  );
}

test("zoneinfo", () => {
  const keys: string[][] = [];
  for (const text of [zoneinfo(source), hostFile("zoneinfo")]) {
    if (text === null) continue;
    const zones = grammar.parseZoneinfo(text);
    const first = zones.find(({ stats }) => stats.size > 0);
    if (first === undefined) throw new Error("there is no zone with memory");
    const all = lines(text);
    const printed = zones.flatMap(({ node, zone, nodeStats, stats }) => [
      layout.zoneTitle(node, zone),
      ...[...nodeStats, ...stats].map(([name, value]) => layout.counterLine(name, value)),
    ]);
    expect(printed.filter((line) => !all.includes(line))).toEqual([]);
    keys.push(zoneKeys(first).map((key) => key.replace(/^pageset (high_\w+)$/, "$1")));
  }
  if (keys.length === 2) compareKeys("zoneinfo", keys[0], keys[1]);
});

test("meminfo", () => {
  const keys: string[][] = [];
  const machines = [source, procSource({ cpus: 1, memoryBytes: 1 << 30, zones: "x86-32" })];
  for (const text of [...machines.map(meminfo), hostFile("meminfo")]) {
    if (text === null) continue;
    const rows = grammar.parseMeminfo(text);
    const printed = [...rows]
      .filter(([, { hasUnit }]) => hasUnit)
      .map(([key, { kilobytes }]) => layout.meminfoLine(key, kilobytes));
    const all = lines(text);
    expect(printed.filter((line) => !all.includes(line))).toEqual([]);
    keys.push([...rows.keys()]);
  }
  const [ours, with32Bits, hosts] = keys;
  expect(with32Bits).toEqual(expect.arrayContaining(["HighTotal", "HighFree", "LowTotal", "LowFree"]));
  if (hosts === undefined) return;
  compareKeys("meminfo", ours, hosts);
  compareKeys("meminfo", with32Bits, hosts);
});

test("vmstat", () => {
  const ours = grammar.parseVmstat(vmstat(source));
  expect(ours.get("nr_free_pages")).toBeGreaterThan(0);
  const text = hostFile("vmstat");
  if (text !== null) compareKeys("vmstat", [...ours.keys()], [...grammar.parseVmstat(text).keys()]);
});

test("interrupts", () => {
  const ours = grammar.parseInterrupts(interrupts(source));
  expect(ours.cpus).toEqual([0, 1]);
  expect(ours.rows.map(({ counts }) => counts.length)).toEqual(ours.rows.map(() => 2));
  const text = hostFile("interrupts");
  if (text === null) return;
  const hosts = grammar.parseInterrupts(text);
  const labels = (of: typeof ours): string[] => of.rows.map(({ label }) => label);
  compareKeys("interrupts", labels(ours), labels(hosts));
  const all = lines(text);
  for (const { label, description } of ours.rows) {
    const row = hosts.rows.find((other) => other.label === label);
    if (row === undefined) continue;
    expect(row.description).toBe(description);
    expect(all).toContain(layout.interruptLine(label, row.counts, description));
  }
});
