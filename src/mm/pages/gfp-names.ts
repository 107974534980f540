/**
 * GFP flags in words, as allocation-failure reports print them: the longest combinations first, then what is left.
 *
 * Linux: include/trace/events/mmflags.h __def_gfpflag_names.
 */

import { Gfp, GfpFlag } from "./gfp.ts";

const COMBINATIONS: readonly (readonly [name: string, flags: number])[] = [
  ["GFP_TRANSHUGE", Gfp.TRANSHUGE],
  ["GFP_TRANSHUGE_LIGHT", Gfp.TRANSHUGE_LIGHT],
  ["GFP_HIGHUSER_MOVABLE", Gfp.HIGHUSER_MOVABLE],
  ["GFP_HIGHUSER", Gfp.HIGHUSER],
  ["GFP_USER", Gfp.USER],
  ["GFP_KERNEL_ACCOUNT", Gfp.KERNEL_ACCOUNT],
  ["GFP_KERNEL", Gfp.KERNEL],
  ["GFP_NOFS", Gfp.NOFS],
  ["GFP_ATOMIC", Gfp.ATOMIC],
  ["GFP_NOIO", Gfp.NOIO],
  ["GFP_NOWAIT", Gfp.NOWAIT],
  ["GFP_DMA", Gfp.DMA],
  ["__GFP_HIGHMEM", GfpFlag.HIGHMEM],
  ["GFP_DMA32", Gfp.DMA32],
  ["__GFP_HIGH", GfpFlag.HIGH],
  ["__GFP_IO", GfpFlag.IO],
  ["__GFP_FS", GfpFlag.FS],
  ["__GFP_NOWARN", GfpFlag.NOWARN],
  ["__GFP_RETRY_MAYFAIL", GfpFlag.RETRY_MAYFAIL],
  ["__GFP_NOFAIL", GfpFlag.NOFAIL],
  ["__GFP_NORETRY", GfpFlag.NORETRY],
  ["__GFP_COMP", GfpFlag.COMP],
  ["__GFP_ZERO", GfpFlag.ZERO],
  ["__GFP_NOMEMALLOC", GfpFlag.NOMEMALLOC],
  ["__GFP_MEMALLOC", GfpFlag.MEMALLOC],
  ["__GFP_HARDWALL", GfpFlag.HARDWALL],
  ["__GFP_THISNODE", GfpFlag.THISNODE],
  ["__GFP_RECLAIMABLE", GfpFlag.RECLAIMABLE],
  ["__GFP_MOVABLE", GfpFlag.MOVABLE],
  ["__GFP_ACCOUNT", GfpFlag.ACCOUNT],
  ["__GFP_WRITE", GfpFlag.WRITE],
  ["__GFP_RECLAIM", Gfp.RECLAIM],
  ["__GFP_DIRECT_RECLAIM", GfpFlag.DIRECT_RECLAIM],
  ["__GFP_KSWAPD_RECLAIM", GfpFlag.KSWAPD_RECLAIM],
  ["__GFP_ZEROTAGS", GfpFlag.ZEROTAGS],
  ["__GFP_SKIP_ZERO", GfpFlag.SKIP_ZERO],
];

/** For example `GFP_KERNEL|__GFP_ZERO`. */
export function formatGfp(gfp: number): string {
  const names: string[] = [];
  let left = gfp;
  for (const [name, flags] of COMBINATIONS) {
    if ((left & flags) !== flags) continue;
    names.push(name);
    left &= ~flags;
  }
  if (left !== 0) names.push(`0x${(left >>> 0).toString(16)}`);
  return names.length === 0 ? "none" : names.join("|");
}
