/**
 * Random machines.  Goal: however memory, nodes and limits lie, every present frame belongs to one zone, and what is
 * handed over, what is managed and what is reserved add up.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import type { TopologyConfig } from "../../../src/hardware/topology.ts";
import { checkBoot } from "../../../src/mm/boot/boot-check.ts";
import { Memblock } from "../../../src/mm/boot/memblock.ts";
import { checkPages } from "../../../src/mm/pages/check-pages.ts";
import { Page, PageType, pageRef } from "../../../src/mm/pages/page.ts";
import { ZONE_SHIFT, ZONE_SLOTS } from "../../../src/mm/pages/page-flags.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
const NODES = 3;

/** Ranges of odd sizes with odd holes between them; the first is large enough for the kernel. */
const memoryMap = fc
  .array(
    fc.record({ hole: fc.nat(1500), pages: fc.integer({ min: 1, max: 3000 }), node: fc.nat(NODES - 1) }),
    { maxLength: 6 },
  )
  .map((pieces) => {
    const map = [{ startBytes: 0, sizeBytes: 3 * MIB, node: 0 }];
    for (const { hole, pages, node } of pieces) {
      const last = map[map.length - 1];
      map.push({ startBytes: last.startBytes + last.sizeBytes + hole * PAGE, sizeBytes: pages * PAGE, node });
    }
    return map;
  });

const limits = fc
  .array(fc.integer({ min: 0, max: 9000 }), { minLength: 3, maxLength: 3 })
  .map((pages) => pages.sort((a, b) => a - b).map((count) => count * PAGE))
  .filter(([, , lowmem]) => lowmem >= 2 * MIB)
  .map(([dmaBytes, dma32Bytes, lowmemBytes]) => ({ dmaBytes, dma32Bytes, lowmemBytes }));

const config: fc.Arbitrary<TopologyConfig> = fc.record({
  cpus: fc.integer({ min: 1, max: 4 }),
  housekeepingCpus: fc.nat(1),
  nodes: fc.constant(NODES),
  memoryMap,
  zones: fc.oneof(fc.constant("x86-64" as const), limits),
  kernelcoreBytes: fc.integer({ min: 0, max: 8000 }).map((pages) => pages * PAGE),
  movablecoreBytes: fc.integer({ min: 0, max: 8000 }).map((pages) => pages * PAGE),
  firmware: fc.constantFrom("pc" as const, "flat" as const),
});

test("random machines boot with all frames accounted for", () => {
  fc.assert(
    fc.property(config, (machine) => {
      const booted = bootOnly(machine);
      checkBoot(booted.memory, booted.mm);
      const { frames, vmstat } = booted.allocators[0];
      expect(checkPages(frames, vmstat)).toBe(
        booted.memory.read(booted.mm.globals.address + PageGlobals.totalRamPages),
      );
      checkBlocks(booted);
      checkFrames(booted);
    }),
    { numRuns: 150, seed: 20_241_118 },
  );
});

/** Blocks are aligned, disjoint, free in memblock, inside one zone, and cover all that is managed. */
function checkBlocks({ memory, mm, blocks }: Booted): void {
  const memblock = new Memblock(memory, mm.memblock.address);
  let end = 0;
  let pages = 0;
  for (const { pfn, order } of blocks) {
    expect(pfn % (1 << order)).toBe(0);
    expect(pfn).toBeGreaterThanOrEqual(end);
    end = pfn + (1 << order);
    pages += 1 << order;
    expect(memblock.isRegionReserved(pfn * PAGE, PAGE << order)).toBe(false);
    const numbers = [pfn, end - 1].map(
      (at) => memory.read(pageRef(memMapOf(mm, memory), at) + Page.flags) >>> ZONE_SHIFT,
    );
    expect(numbers[0]).toBe(numbers[1]);
  }
  expect(memory.read(mm.globals.address + PageGlobals.totalRamPages)).toBe(pages);
}

/** Every present frame is in the span of exactly one zone of its node; missing ones are never free. */
function checkFrames({ memory, mm, topology }: Booted): void {
  const { zones, firmware } = mm.plan;
  const isPresent = new Uint8Array(topology.maxPfn);
  for (const { startPfn, endPfn, node } of firmware.ranges) {
    isPresent.fill(1, startPfn, endPfn);
    for (const pfn of [startPfn, endPfn - 1]) {
      const holding = zones.nodes[node].zones.filter(
        (z) => z.startPfn <= pfn && pfn < z.startPfn + z.spanned,
      );
      expect(holding.length).toBe(1);
      const flags = memory.read(pageRef(memMapOf(mm, memory), pfn) + Page.flags);
      expect(flags >>> ZONE_SHIFT).toBe(node * ZONE_SLOTS + holding[0].index);
    }
  }
  let missing = 0;
  for (let pfn = 0; pfn < topology.maxPfn; pfn++) {
    if (isPresent[pfn] !== 0) continue;
    const page = pageRef(memMapOf(mm, memory), pfn);
    const type = memory.read(page + Page.type);
    if (type !== PageType.RESERVED && type !== PageType.NONE) missing++;
    if (memory.read(page + Page.buddy) !== 0) missing++;
  }
  expect(missing).toBe(0);
  const present = mm.populated.reduce(
    (sum, z) => sum + memory.read(mm.zoneAt(z.node, z.index) + Zone.presentPages),
    0,
  );
  expect(present).toBe(isPresent.reduce((sum, is) => sum + is, 0));
}

const memMapOf = (mm: Booted["mm"], memory: Booted["memory"]): number =>
  memory.read(mm.globals.address + PageGlobals.memMap);
