import { describe, expect, test } from "vitest";
import { AllocFlag } from "../../../src/mm/pages/alloc-flags.ts";
import { Gfp, GfpFlag, gfpMigrateType, gfpToAllocFlags, gfpZone } from "../../../src/mm/pages/gfp.ts";
import { formatGfp } from "../../../src/mm/pages/gfp-names.ts";
import { ZoneIndex } from "../../../src/mm/pages/zone-index.ts";

describe("GFP flags", () => {
  // The numbers that kernel logs print: "mode:0xcc0(GFP_KERNEL)", "gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)".
  test.each([
    [Gfp.KERNEL, 0xcc0, "GFP_KERNEL"],
    [Gfp.ATOMIC, 0x820, "GFP_ATOMIC"],
    [Gfp.NOWAIT, 0x2800, "GFP_NOWAIT"],
    [Gfp.NOIO, 0xc00, "GFP_NOIO"],
    [Gfp.NOFS, 0xc40, "GFP_NOFS"],
    [Gfp.USER, 0x100cc0, "GFP_USER"],
    [Gfp.HIGHUSER, 0x100cc2, "GFP_HIGHUSER"],
    [Gfp.HIGHUSER_MOVABLE, 0x100cca, "GFP_HIGHUSER_MOVABLE"],
    [Gfp.KERNEL_ACCOUNT, 0x400cc0, "GFP_KERNEL_ACCOUNT"],
    [Gfp.TRANSHUGE_LIGHT, 0x1c20ca, "GFP_TRANSHUGE_LIGHT"],
    [Gfp.TRANSHUGE, 0x1c24ca, "GFP_TRANSHUGE"],
    [Gfp.DMA, 0x1, "GFP_DMA"],
    [Gfp.DMA32, 0x4, "GFP_DMA32"],
    [Gfp.HIGHUSER_MOVABLE | GfpFlag.COMP, 0x140cca, "GFP_HIGHUSER_MOVABLE|__GFP_COMP"],
    [Gfp.KERNEL | GfpFlag.ZERO, 0xdc0, "GFP_KERNEL|__GFP_ZERO"],
    [Gfp.ATOMIC | GfpFlag.COMP | GfpFlag.NOWARN, 0x42820, "GFP_ATOMIC|__GFP_NOWARN|__GFP_COMP"],
    [GfpFlag.IO, 0x40, "__GFP_IO"],
    [0x200, 0x200, "0x200"],
    [0, 0, "none"],
  ])("mode %i (%i): %s", (gfp, value, name) => {
    expect(gfp).toBe(value);
    expect(formatGfp(gfp)).toBe(name);
  });

  test.each([
    [Gfp.KERNEL, ZoneIndex.NORMAL],
    [Gfp.DMA | Gfp.KERNEL, ZoneIndex.DMA],
    [Gfp.DMA32, ZoneIndex.DMA32],
    [Gfp.HIGHUSER, ZoneIndex.HIGHMEM],
    [Gfp.HIGHUSER_MOVABLE, ZoneIndex.MOVABLE],
    [Gfp.KERNEL | GfpFlag.MOVABLE, ZoneIndex.NORMAL],
    [GfpFlag.DMA | GfpFlag.MOVABLE, ZoneIndex.DMA],
    [GfpFlag.DMA32 | GfpFlag.MOVABLE, ZoneIndex.DMA32],
  ])("%i may go up to zone %s", (gfp, zone) => {
    expect(gfpZone(gfp)).toBe(zone);
  });

  test.each([
    GfpFlag.DMA | GfpFlag.HIGHMEM,
    GfpFlag.DMA | GfpFlag.DMA32,
    GfpFlag.HIGHMEM | GfpFlag.DMA32,
    GfpFlag.DMA | GfpFlag.HIGHMEM | GfpFlag.DMA32 | GfpFlag.MOVABLE,
  ])("two zone modifiers (%i) are a bug", (gfp) => {
    expect(() => gfpZone(gfp)).toThrow(
      `gfp 0x${gfp.toString(16)}: at most one of __GFP_DMA, __GFP_HIGHMEM and __GFP_DMA32 may be set`,
    );
  });

  test("mobility: unmovable, movable, reclaimable, and not both", () => {
    expect(gfpMigrateType(Gfp.KERNEL)).toBe(0);
    expect(gfpMigrateType(Gfp.HIGHUSER_MOVABLE)).toBe(1);
    expect(gfpMigrateType(Gfp.KERNEL | GfpFlag.RECLAIMABLE)).toBe(2);
    expect(() => gfpMigrateType(GfpFlag.MOVABLE | GfpFlag.RECLAIMABLE)).toThrow(
      "gfp 0x18: __GFP_MOVABLE and __GFP_RECLAIMABLE exclude each other",
    );
  });
});

describe("rights in the slow path", () => {
  const A = AllocFlag;
  test.each([
    ["GFP_KERNEL", Gfp.KERNEL, 0, A.CPUSET | A.KSWAPD],
    ["GFP_KERNEL|__GFP_HIGH", Gfp.KERNEL | GfpFlag.HIGH, 0, A.CPUSET | A.KSWAPD | A.MIN_RESERVE],
    ["GFP_ATOMIC", Gfp.ATOMIC, 0, A.KSWAPD | A.MIN_RESERVE | A.NON_BLOCK],
    ["GFP_ATOMIC order 2", Gfp.ATOMIC, 2, A.KSWAPD | A.MIN_RESERVE | A.NON_BLOCK | A.HIGHATOMIC],
    ["GFP_NOWAIT", Gfp.NOWAIT, 2, A.CPUSET | A.KSWAPD | A.NON_BLOCK],
    ["GFP_ATOMIC|__GFP_NOMEMALLOC", Gfp.ATOMIC | GfpFlag.NOMEMALLOC, 2, A.KSWAPD | A.MIN_RESERVE],
    ["GFP_HIGHUSER_MOVABLE", Gfp.HIGHUSER_MOVABLE, 0, A.CPUSET | A.KSWAPD | A.CMA],
  ])("%s", (_name, gfp, order, flags) => {
    expect(gfpToAllocFlags(gfp, order)).toBe(flags);
  });
});
