/** Each broken invariant of zones and zonelists is reported. */

import { expect, test } from "vitest";
import { checkZones } from "../../../src/mm/boot/zone-check.ts";
import { Node, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../../../src/mm/pages/node.ts";
import { Watermark, Zone } from "../../../src/mm/pages/zone.ts";
import { ZoneIndex } from "../../../src/mm/pages/zone-index.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const MIB = 2 ** 20;

/** Node 0 has DMA and DMA32, node 1 DMA32. */
const machine = () => bootOnly({ cpus: 2, nodes: 2, memoryBytes: 64 * MIB });

type Break = (booted: Booted, write: (at: number, value: number) => void) => void;

const dma = (booted: Booted) => booted.mm.zoneAt(0, ZoneIndex.DMA);
const fallback = (booted: Booted, entry: number) =>
  booted.mm.nodes.at(0) + Node.fallback + entry * ZONELIST_ENTRY_WORDS;

test.each<[string, Break, RegExp]>([
  [
    "Z1: more managed than present",
    (b, write) => write(dma(b) + Zone.managedPages, 5000),
    /Z1 node 0 zone DMA: 5000 managed/,
  ],
  [
    "Z1: more present than spanned",
    (b, write) => write(dma(b) + Zone.spannedPages, 100),
    /Z1 node 0 zone DMA: .* 100 spanned/,
  ],
  [
    "Z2",
    (b, write) => write(dma(b) + Zone.watermark + Watermark.LOW, 0),
    /Z2 node 0 zone DMA: marks \d+, 0, /,
  ],
  [
    "Z3: from its own",
    (b, write) => write(dma(b) + Zone.lowmemReserve, 3),
    /Z3 node 0 zone DMA: keeps 3 pages from allocations of zone DMA/,
  ],
  [
    "Z3: less from higher",
    (b, write) => write(dma(b) + Zone.lowmemReserve + ZoneIndex.MOVABLE, 1),
    /Z3 node 0 zone DMA: keeps 1 pages from zone Movable, \d+ from a lower one/,
  ],
  [
    "Z4: no zone",
    (b, write) => write(fallback(b, 1) + ZonelistEntry.zone, 44),
    /Z4 fallback list of node 0: entry 1 is no populated zone \(44\)/,
  ],
  [
    "Z4: twice",
    (b, write) => write(fallback(b, 1) + ZonelistEntry.zone, b.mm.zoneAt(0, ZoneIndex.DMA32)),
    /node 0 zone DMA32 comes twice/,
  ],
  [
    "Z4: ended early",
    (b, write) => write(fallback(b, 2) + ZonelistEntry.zone, 0),
    /Z4 fallback list of node 0: 2 zones, expected 3/,
  ],
  [
    "Z4: wrong index",
    (b, write) => write(fallback(b, 0) + ZonelistEntry.zoneIndex, 4),
    /Z4 fallback list of node 0: entry 0 says index 4/,
  ],
  [
    "Z4: lower zone first",
    (b, write) => {
      write(fallback(b, 0) + ZonelistEntry.zone, dma(b));
      write(fallback(b, 0) + ZonelistEntry.zoneIndex, ZoneIndex.DMA);
      write(fallback(b, 1) + ZonelistEntry.zone, b.mm.zoneAt(0, ZoneIndex.DMA32));
      write(fallback(b, 1) + ZonelistEntry.zoneIndex, ZoneIndex.DMA32);
    },
    /Z4 fallback list of node 0: zone DMA32 comes after DMA/,
  ],
  [
    "Z4: another node's first",
    (b, write) =>
      write(b.mm.nodes.at(1) + Node.noFallback + ZonelistEntry.zone, b.mm.zoneAt(0, ZoneIndex.DMA32)),
    /Z4 a list of node 1 begins with a zone of node 0/,
  ],
  [
    "Z5: page lists",
    (b, write) => write(dma(b) + Zone.pageset, 64),
    /Z5 node 0 zone DMA: pageset at 64, declared at \d+/,
  ],
  [
    "Z5: counters",
    (b, write) => write(dma(b) + Zone.zonestats, 64),
    /Z5 node 0 zone DMA: zonestats at 64, declared at \d+/,
  ],
])("%s", (_name, breakIt, message) => {
  const booted = machine();
  checkZones(booted.memory, booted.mm);
  breakIt(booted, (at, value) => booted.memory.write(at, value));
  expect(() => checkZones(booted.memory, booted.mm)).toThrow(message);
});
