/** Each broken invariant of a boot is reported, and so is each way in which a machine is too small. */

import { describe, expect, test } from "vitest";
import type { TopologyConfig } from "../../../src/hardware/topology.ts";
import { UsageError } from "../../../src/memory/bug.ts";
import { checkBoot } from "../../../src/mm/boot/boot-check.ts";
import { MemblockState } from "../../../src/mm/boot/memblock.ts";
import { MemblockType } from "../../../src/mm/boot/memblock-regions.ts";
import { Page, pageRef } from "../../../src/mm/pages/page.ts";
import { PageFlag, ZONE_SHIFT } from "../../../src/mm/pages/page-flags.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const KIB = 1024;
const MIB = 2 ** 20;

describe("checkBoot finds", () => {
  const add = (booted: Booted, at: number, delta: number) =>
    booted.memory.write(at, booted.memory.read(at) + delta);
  test.each<[string, (booted: Booted) => void, RegExp]>([
    [
      "a frame of another zone",
      (booted) => add(booted, pageRef(booted.record.memMap, 700) + Page.flags, 1 << ZONE_SHIFT),
      /node 0 zone DMA: frame 700 names zone number 1, expected 0/,
    ],
    [
      "a frame that is neither managed nor reserved",
      (booted) => add(booted, pageRef(booted.record.memMap, 1) + Page.flags, -PageFlag.RESERVED),
      /node 0 zone DMA: 1023 present pages, but \d+ managed and \d+ reserved/,
    ],
    [
      "a total that is not the sum",
      (booted) => add(booted, booted.mm.globals.address + PageGlobals.totalRamPages, 1),
      /totalram_pages is \d+, the zones manage \d+/,
    ],
    [
      "a damaged memblock",
      (booted) =>
        booted.memory.writeFloat64(
          booted.mm.memblock.address + MemblockState.reserved + MemblockType.totalBytes,
          1,
        ),
      /memblock\.reserved: total 1, regions sum to/,
    ],
  ])("%s", (_name, breakIt, message) => {
    const booted = bootOnly({ cpus: 1, memoryBytes: 4 * MIB });
    checkBoot(booted.memory, booted.mm);
    breakIt(booted);
    expect(() => checkBoot(booted.memory, booted.mm)).toThrow(message);
  });

  test("nothing wrong with zones that have no memory", () => {
    const booted = bootOnly({ cpus: 1, memoryBytes: 4 * MIB });
    expect(booted.memory.read(booted.mm.zoneAt(0, 2) + Zone.presentPages)).toBe(0);
    checkBoot(booted.memory, booted.mm);
  });
});

describe("too small a machine is the user's error: no room for", () => {
  const holes = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ startBytes: i * 64 * KIB, sizeBytes: 32 * KIB, node: 0 }));
  test.each<[string, TopologyConfig, RegExp]>([
    [
      "per-CPU areas",
      { cpus: 64, memoryBytes: MIB },
      /memory: 1048576 bytes leave no room for per-CPU areas of \d+ bytes/,
    ],
    [
      "the kernel image",
      {
        cpus: 1,
        memoryMap: [
          { startBytes: 0, sizeBytes: 12 * KIB, node: 0 },
          { startBytes: MIB, sizeBytes: MIB, node: 0 },
        ],
      },
      /no room for the kernel image of \d+ bytes at 0x2000/,
    ],
    ["mem_map", { cpus: 1, memoryMap: holes(32) }, /no room for mem_map of \d+ bytes/],
    ["so many ranges", { cpus: 1, memoryMap: holes(130) }, /memoryMap: too many ranges; valid are up to 128/],
  ])("%s", (_name, config, message) => {
    const boot = () => bootOnly(config);
    expect(boot).toThrow(UsageError);
    expect(boot).toThrow(message);
  });
});

/** With low memory cut to a few pages behind the image. */
describe("too little low memory is the user's error: no room for", () => {
  const imageBytes = (nodes: number) => {
    const { record } = bootOnly({ cpus: 1, nodes, memoryBytes: 8 * MIB });
    return Math.ceil(record.staticWords / 1024) * 4 * KIB;
  };
  const boot = (nodes: number, lowBytes: number) => () => {
    const limit = 8 * KIB + imageBytes(nodes) + lowBytes;
    const zones = { dmaBytes: limit, dma32Bytes: limit, lowmemBytes: limit };
    bootOnly({ cpus: 1, nodes, memoryBytes: 8 * MIB, zones });
  };
  test("mem_map", () => expect(boot(1, 64 * KIB)).toThrow(/no room for mem_map of 131072 bytes/));
  test("pageblocks", () => expect(boot(1, 128 * KIB)).toThrow(/no room for pageblocks of 16 bytes/));
  test("per-CPU areas", () => expect(boot(1, 132 * KIB)).toThrow(/no room for per-CPU areas/));
  test("a node's page structures", () => {
    expect(boot(2, 68 * KIB)).toThrow(/no room for the page structures of node 1, 65536 bytes/);
    expect(boot(2, 128 * KIB)).toThrow(/no room for pageblocks/);
  });
});
