/** Maps of address spaces: the published tables, the machine's own constants, the host's addresses, and no byte left out. */

import { describe, expect, test } from "vitest";
import { arm64Map } from "../../../src/experiment/space-map/arm64.ts";
import { type SpaceMap, sizeText } from "../../../src/experiment/space-map/region.ts";
import { spaceMapText } from "../../../src/experiment/space-map/space-map-text.ts";
import { splitNames, x86Map32 } from "../../../src/experiment/space-map/x86-32.ts";
import { x86Map64 } from "../../../src/experiment/space-map/x86-64.ts";
import { PAGE_BYTES } from "../../../src/memory/units.ts";
import { userEnd } from "../../../src/mm/pgtable/address-range.ts";
import { DIRECT_MAP_START } from "../../../src/mm/vmap/direct-map.ts";
import { VMALLOC_START } from "../../../src/mm/vmap/vmalloc-space.ts";
import { hostFile } from "../../support/host-proc.ts";

/** First and last address of a region, as Linux's documents print them. */
function rangeOf({ regions, bits }: SpaceMap, name: string): string {
  const found = regions.find((region) => region.name === name)!;
  const hex = (address: bigint): string => address.toString(16).padStart(bits / 4, "0");
  return `${hex(found.start)}-${hex(found.end - 1n)}`;
}

const ALL = [
  x86Map64(4),
  x86Map64(5),
  ...splitNames().map((split) => x86Map32(split, false)),
  ...["3G", "2G", "1G"].map((split) => x86Map32(split, true)),
  ...[39, 48, 52].map((bits) => arm64Map(bits, 4)),
  ...[36, 47, 48, 52].map((bits) => arm64Map(bits, 16)),
  ...[42, 48, 52].map((bits) => arm64Map(bits, 64)),
];

test.each(ALL.map((map) => [map.title, map] as const))(
  "%s: regions follow each other and leave nothing out",
  (_, map) => {
    const last = map.regions.reduce((at, { start, end }) => {
      expect(start).toBe(at);
      expect(end).toBeGreaterThan(start);
      return end;
    }, 0n);
    expect(last).toBe(1n << BigInt(map.bits));
    expect(spaceMapText(map).split("\n").length).toBe(map.regions.length + 4);
  },
);

describe("x86-64 as Documentation/arch/x86/x86_64/mm.rst has it", () => {
  test.each([
    [4, "user", "0000000000000000-00007fffffffffff"],
    [4, "guard hole", "ffff800000000000-ffff87ffffffffff"],
    [4, "LDT remap", "ffff880000000000-ffff887fffffffff"],
    [4, "direct map", "ffff888000000000-ffffc87fffffffff"],
    [4, "vmalloc", "ffffc90000000000-ffffe8ffffffffff"],
    [4, "vmemmap", "ffffea0000000000-ffffeaffffffffff"],
    [4, "KASAN shadow", "ffffec0000000000-fffffbffffffffff"],
    [5, "user", "0000000000000000-00ffffffffffffff"],
    [5, "guard hole", "ff00000000000000-ff0fffffffffffff"],
    [5, "LDT remap", "ff10000000000000-ff10ffffffffffff"],
    [5, "direct map", "ff11000000000000-ff90ffffffffffff"],
    [5, "vmalloc", "ffa0000000000000-ffd1ffffffffffff"],
    [5, "vmemmap", "ffd4000000000000-ffd5ffffffffffff"],
    [5, "KASAN shadow", "ffdf000000000000-fffffbffffffffff"],
    [4, "cpu_entry_area", "fffffe0000000000-fffffe7fffffffff"],
    [5, "espfix", "ffffff0000000000-ffffff7fffffffff"],
    [4, "EFI", "ffffffef00000000-fffffffeffffffff"],
    [5, "kernel text", "ffffffff80000000-ffffffff9fffffff"],
    [4, "modules", "ffffffffa0000000-fffffffffeffffff"],
    [4, "vsyscall", "ffffffffff600000-ffffffffff600fff"],
  ] as const)("%i levels: %s", (levels, name, range) => {
    expect(rangeOf(x86Map64(levels), name)).toBe(range);
  });

  test("the machine's constants are in it", () => {
    const map = x86Map64(4);
    const startOf = (name: string): bigint => map.regions.find((region) => region.name === name)!.start;
    expect(startOf("direct map")).toBe(BigInt.asUintN(64, BigInt(DIRECT_MAP_START)));
    expect(startOf("vmalloc")).toBe(BigInt.asUintN(64, BigInt(VMALLOC_START)));
    // With five levels the machine's end lower: numbers are exact up to 2^53.
    expect(map.regions[0].end).toBe(BigInt(userEnd(4) + PAGE_BYTES));
  });

  test("the host's program lies in the user's part, and its vsyscall page where it belongs", () => {
    const text = hostFile("self/maps");
    if (text === null || process.arch !== "x64") return;
    const { regions } = x86Map64(5);
    for (const [, start, end, name] of text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) .{4} \S+ \S+ \d+ *(.*)$/gm)) {
      const region = regions.find((at) => at.start <= BigInt(`0x${start}`) && BigInt(`0x${end}`) <= at.end);
      expect(region?.name).toBe(name === "[vsyscall]" ? "vsyscall" : "user");
    }
  });
});

test("x86-32: splits, and what is left for low memory after vmalloc's 128 MiB", () => {
  // What a kernel of this configuration prints: lowmem 0xc0000000-0xf73fe000 (883 MB), pkmap from 0xff400000 on.
  expect(rangeOf(x86Map32("3G", false), "lowmem")).toBe("c0000000-f73fdfff");
  expect(rangeOf(x86Map32("3G", false), "pkmap")).toBe("ff400000-ff7fffff");
  expect(splitNames().map((split) => rangeOf(x86Map32(split, false), "user").slice(9))).toEqual([
    "bfffffff",
    "afffffff",
    "7fffffff",
    "77ffffff",
    "3fffffff",
  ]);
  expect(() => x86Map32("4G", false)).toThrow(
    '--split: "4G" is not valid; valid are 3G, 3G_OPT, 2G, 2G_OPT, 1G',
  );
  expect(() => x86Map32("3G_OPT", true)).toThrow("--pae: the split 3G_OPT is not possible");
});

test("arm64: two halves, and what lies above the linear map", () => {
  const map = arm64Map(48, 4);
  expect(rangeOf(map, "user (TTBR0)")).toBe("0000000000000000-0000ffffffffffff");
  expect(rangeOf(map, "linear map (TTBR1)")).toBe("ffff000000000000-ffff7fffffffffff");
  expect(rangeOf(map, "modules")).toBe("ffff800000000000-ffff80007fffffff");
  expect(rangeOf(map, "vmemmap")).toBe("fffffdffc0000000-ffffffffbfffffff");
  // With 52 bits the linear map begins lower, and ends where it does with 48.
  expect(rangeOf(arm64Map(52, 64), "linear map (TTBR1)")).toBe("fff0000000000000-ffff7fffffffffff");
  expect(rangeOf(arm64Map(39, 4), "modules")).toBe("ffffffc000000000-ffffffc07fffffff");
  expect(() => arm64Map(42, 4)).toThrow(
    "--va-bits: 42 is not valid with pages of 4 KiB; valid are 39, 48, 52",
  );
  expect(() => arm64Map(48, 8)).toThrow("--page: 8 is not valid; valid are 4, 16, 64 KiB");
});

test("sizes are in the largest unit that they fill", () => {
  expect([4096n, 1536n, 3n << 19n, 1n << 47n, 25n << 49n].map(sizeText)).toEqual([
    "4 KiB",
    "1.5 KiB",
    "1.5 MiB",
    "128 TiB",
    "12.5 PiB",
  ]);
});
