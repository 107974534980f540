/**
 * SLAB's arithmetic: how objects and their free indexes lie in a slab, and how long the arrays are.  Bytes throughout.
 *
 * A free index is a byte, for 4 KiB / 256 is not above the smallest object, 16 bytes: so a slab has 255 objects at most.
 * (Where pages are larger Linux takes two bytes.)
 *
 * Linux 6.7: mm/slab.c cache_estimate, calculate_slab_order, set_objfreelist_slab_cache, set_off_slab_cache,
 * set_on_slab_cache, __kmem_cache_create, enable_cpucache.
 */

import { alignUp, PAGE_BYTES } from "../../../memory/units.ts";
import { SlabFlag } from "../slab-flags.ts";
import { calculateAlignment, type ObjectShape } from "../slab-layout.ts";
import { Placement } from "./structures.ts";

const { IN_OBJECT, OFF_SLAB } = Placement;
const POINTER_BYTES = 8;
const LINE_BYTES = 64;
/** Linux: SLAB_OBJ_MIN_SIZE. */
const MIN_OBJECT_BYTES = 16;
/** Linux: SLAB_OBJ_MAX_NUM. */
export const MAX_OBJECTS = 255;
/** Linux: KMALLOC_MAX_ORDER. */
const MAX_ORDER = 10;

/** Classes of the caches that SLAB's own arrays, nodes and off-slab indexes come from. */
export const SIZE_CLASSES: readonly number[] = [32, 64, 96, 128, 192, 256, 512, 1024, 2048];

/** The smallest class that holds `bytes`, -1 none. */
export const sizeClassOf = (bytes: number): number => SIZE_CLASSES.findIndex((size) => bytes <= size);

export interface SlabSizes {
  readonly sizeBytes: number;
  readonly alignBytes: number;
  readonly order: number;
  readonly objects: number;
  /** Placement, or 0. */
  readonly placement: number;
  readonly colour: number;
  readonly colourOffBytes: number;
}

export interface SlabLimits {
  /** Above it only when not even one object fits.  Linux: slab_max_order. */
  readonly maxOrder: number;
  /** Which size classes there are: while the first are made, not all. */
  readonly hasClass: (index: number) => boolean;
}

/** Orders above 0 are for machines with more than 32 MiB.  Linux: cpucache_init's and kmem_cache_init's slab_max_order. */
export const maxOrderOf = (ramBytes: number): number => (ramBytes > 32 << 20 ? 1 : 0);

interface Estimate {
  readonly order: number;
  readonly objects: number;
  readonly left: number;
}

/** Everything about the slabs of a cache; null when no slab can hold an object. */
export function slabSizes(shape: ObjectShape, limits: SlabLimits): SlabSizes | null {
  const { objectBytes, flags = 0 } = shape;
  // What must survive in a free object.
  const keepsContent = shape.hasConstructor === true || (flags & SlabFlag.TYPESAFE_BY_RCU) !== 0;
  const alignBytes = calculateAlignment(flags, shape.alignBytes ?? 0, objectBytes);
  const aligned = alignUp(alignUp(objectBytes, POINTER_BYTES), alignBytes);
  const sizeBytes = aligned < MIN_OBJECT_BYTES ? alignUp(MIN_OBJECT_BYTES, alignBytes) : aligned;
  const colourOffBytes = Math.max(LINE_BYTES, alignBytes);
  const made = (found: Estimate, placement: number): SlabSizes => ({
    sizeBytes,
    alignBytes,
    order: found.order,
    objects: found.objects,
    placement,
    colour: Math.floor(found.left / colourOffBytes),
    colourOffBytes,
  });
  const estimate = (placement: number): Estimate | null =>
    calculateSlabOrder({ sizeBytes, objectBytes, flags, placement }, limits);

  const inObject = keepsContent ? null : estimate(IN_OBJECT);
  if (inObject !== null && inObject.objects <= objectBytes) return made(inObject, IN_OBJECT);
  const off = estimate(OFF_SLAB);
  // What would fit behind the objects goes there, whatever colours that costs.
  if (off !== null && off.left < off.objects) return made(off, OFF_SLAB);
  const on = estimate(0);
  return on === null ? null : made(on, 0);
}

function calculateSlabOrder(
  wanted: { sizeBytes: number; objectBytes: number; flags: number; placement: number },
  limits: SlabLimits,
): Estimate | null {
  const { sizeBytes, objectBytes, flags, placement } = wanted;
  let found: Estimate | null = null;
  for (let order = 0; order <= MAX_ORDER; order++) {
    const slabBytes = PAGE_BYTES << order;
    const eachBytes = placement === 0 ? sizeBytes + 1 : sizeBytes;
    const objects = Math.floor(slabBytes / eachBytes);
    const left = slabBytes % eachBytes;
    if (objects === 0) continue;
    if (objects > MAX_OBJECTS) break;
    if (placement === OFF_SLAB && !isWorthOffSlab(objects, objectBytes, limits)) continue;
    found = { order, objects, left };
    // High orders are hard to come by, above all where reclaim must not be waited for.
    if ((flags & SlabFlag.RECLAIM_ACCOUNT) !== 0 || order >= limits.maxOrder) break;
    if (left * 8 <= slabBytes) break;
  }
  return found;
}

/** Whether there is a class for the indexes of a slab, and a small one beside the object. */
function isWorthOffSlab(objects: number, objectBytes: number, { hasClass }: SlabLimits): boolean {
  const index = sizeClassOf(objects);
  return index >= 0 && hasClass(index) && SIZE_CLASSES[index] <= Math.floor(objectBytes / 2);
}

export interface ArraySizes {
  readonly limit: number;
  readonly batchCount: number;
  readonly shared: number;
}

/** Linux: enable_cpucache. */
export function arraySizes(sizeBytes: number, possibleCpus: number): ArraySizes {
  const limit = limitOf(sizeBytes);
  return {
    limit,
    batchCount: (limit + 1) >> 1,
    shared: sizeBytes <= PAGE_BYTES && possibleCpus > 1 ? 8 : 0,
  };
}

function limitOf(sizeBytes: number): number {
  if (sizeBytes > 131_072) return 1;
  if (sizeBytes > PAGE_BYTES) return 8;
  if (sizeBytes > 1024) return 24;
  return sizeBytes > 256 ? 54 : 120;
}
