/**
 * /proc/slabinfo: each cache's objects and slabs, newest cache first.
 *
 * Linux: mm/slab_common.c print_slabinfo_header, cache_show, slab_show.  SLUB has no tunables: they are 0.  SLOB never had
 * this file.
 */

import { UsageError } from "../memory/bug.ts";
import { KmemCache } from "../mm/slab/kmem-cache.ts";
import type { SlabInfo } from "../mm/slab/object-allocator.ts";
import type { SlabSource } from "./source.ts";

const HEADER = [
  "slabinfo - version: 2.1",
  "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>" +
    " : tunables <limit> <batchcount> <sharedfactor>" +
    " : slabdata <active_slabs> <num_slabs> <sharedavail>",
];

/** A line of /proc/slabinfo; `objectBytes` is from one object to the next. */
export function slabinfoLine(name: string, objectBytes: number, info: SlabInfo): string {
  const wide = (width: number, ...values: readonly number[]): string =>
    values.map((value) => String(value).padStart(width)).join(" ");
  const sizes = wide(4, info.objectsPerSlab, 1 << info.order);
  return (
    `${name.padEnd(17)} ${wide(6, info.activeObjects, info.objects, objectBytes)} ${sizes}` +
    ` : tunables ${wide(4, info.limit, info.batchCount, info.shared)}` +
    ` : slabdata ${wide(6, info.activeSlabs, info.slabs, info.sharedAvailable)}`
  );
}

export function slabinfo({ slabs }: SlabSource): string {
  if (slabs.kind === "slob")
    throw new UsageError("slabinfo: SLOB has none, since it keeps no caches' objects apart");
  const lines = slabs
    .infos()
    .toReversed()
    .map(({ cache, name, info }) => slabinfoLine(name, slabs.memory.read(cache + KmemCache.size), info));
  return [...HEADER, ...lines].map((line) => `${line}\n`).join("");
}
