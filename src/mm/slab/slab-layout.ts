/**
 * How objects lie in slabs: all the sizes that a cache is made with, from an object's size and the number of CPUs.
 *
 * Pure arithmetic, in bytes; the figures equal those of a kernel with 64-bit pointers: a free pointer takes 8 bytes,
 * although here it is a word.
 *
 * Linux: mm/slub.c calculate_sizes, calculate_order, set_cpu_partial, init_kmem_cache; mm/slab_common.c
 * calculate_alignment.
 */

import { PAGE_BYTES, PAGE_SHIFT } from "../../memory/units.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";

/** Bytes of what an object may be followed by. */
export const PartBytes = {
  /** A pointer in the kernel that is modelled; also the least alignment. */
  POINTER: 8,
  /** One struct track, with a stack depot's handle; an object under STORE_USER has two. */
  TRACK: 32,
  /** What a kmalloc object under STORE_USER says of the bytes that were asked for. */
  REQUEST: 4,
} as const;
const POINTER_BYTES: number = PartBytes.POINTER;
const LINE_BYTES = 64;
/** Linux: slub_max_order. */
const SLAB_MAX_ORDER = 3;
/** Linux: MIN_PARTIAL, MAX_PARTIAL. */
const MIN_PARTIAL = 5;
const MAX_PARTIAL = 10;

/** Linux: MAX_PAGE_ORDER pages, KMALLOC_MAX_SIZE. */
export const MAX_OBJECT_BYTES = PAGE_BYTES << 10;

export interface ObjectShape {
  /** What the caller of `kmem_cache_create` asks for. */
  readonly objectBytes: number;
  /** A power of two, or 0. */
  readonly alignBytes?: number;
  readonly flags?: number;
  /** A constructor's work must survive in a free object: the free pointer may not lie in it. */
  readonly hasConstructor?: boolean;
}

export interface SlabLayout {
  /** From one object to the next. */
  readonly sizeBytes: number;
  /** Of an object that belongs to its user, with its right red zone. */
  readonly inuseBytes: number;
  /** Where in a free object the pointer to the next one lies. */
  readonly offsetBytes: number;
  readonly alignBytes: number;
  /** Before each object: the left red zone.  Linux: red_left_pad. */
  readonly redLeftBytes: number;
  readonly order: number;
  readonly objects: number;
  /** When no block of `order` is to be had: the smallest that holds an object. */
  readonly minOrder: number;
  readonly minObjects: number;
  /** Slabs that a node keeps although they are empty. */
  readonly minPartial: number;
  /** Free objects that a CPU's partial list should hold, and the slabs that makes if they are half full. */
  readonly cpuPartial: number;
  readonly cpuPartialSlabs: number;
}

const alignTo = (bytes: number, step: number): number => Math.ceil(bytes / step) * step;
/** Position of the highest bit, 1 for bit 0; 0 of 0.  Linux: fls. */
const lastBit = (value: number): number => 32 - Math.clz32(value);
/** The smallest order of a block of `bytes`.  Linux: get_order. */
const orderOf = (bytes: number): number => lastBit((bytes - 1) >>> PAGE_SHIFT);
const objectsIn = (order: number, sizeBytes: number): number => Math.floor((PAGE_BYTES << order) / sizeBytes);

/** Everything about a cache of such objects on a machine of `cpus` CPUs. */
export function slabLayout(shape: ObjectShape, cpus: number): SlabLayout {
  const { objectBytes, flags = 0 } = shape;
  const alignBytes = calculateAlignment(flags, shape.alignBytes ?? 0, objectBytes);
  const { sizeBytes, inuseBytes, offsetBytes, redLeftBytes } = calculateSizes(shape, alignBytes);
  const order = calculateOrder(sizeBytes, cpus);
  const objects = objectsIn(order, sizeBytes);
  const minOrder = orderOf(sizeBytes);
  const cpuPartial = (flags & SLAB_DEBUG_FLAGS) === 0 ? partialObjects(sizeBytes) : 0;
  return {
    sizeBytes,
    inuseBytes,
    offsetBytes,
    alignBytes,
    redLeftBytes,
    order,
    objects,
    minOrder,
    minObjects: objectsIn(minOrder, sizeBytes),
    minPartial: Math.max(MIN_PARTIAL, Math.min(MAX_PARTIAL, (lastBit(sizeBytes) - 1) >> 1)),
    cpuPartial,
    cpuPartialSlabs: Math.ceil((cpuPartial * 2) / objects),
  };
}

/** The least orders of a slab that holds one object, and of one that holds what its user sees of it. */
export function leastOrders(shape: ObjectShape, cpus: number): { minOrder: number; plainOrder: number } {
  return { minOrder: slabLayout(shape, cpus).minOrder, plainOrder: orderOf(shape.objectBytes) };
}

/**
 * What surrounds an object: red zones, free pointer, tracks.  An object is
 *
 *   | left red zone | object | right red zone | free pointer | tracks | request | red zone, padding |
 *                   ^ its address    inuse -> ^                                          up to size -> ^
 *
 * Linux: calculate_sizes.
 */
function calculateSizes(
  { objectBytes, flags = 0, hasConstructor = false }: ObjectShape,
  alignBytes: number,
): Pick<SlabLayout, "sizeBytes" | "inuseBytes" | "offsetBytes" | "redLeftBytes"> {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const isRed = has(SlabFlag.RED_ZONE);
  const keepsRequest = has(SlabFlag.STORE_USER) && has(SlabFlag.KMALLOC);
  let inuseBytes = alignTo(objectBytes, POINTER_BYTES);
  // There must be something for a red zone behind the object.
  if (isRed && inuseBytes === objectBytes) inuseBytes += POINTER_BYTES;
  // What must survive in a free object, or says that nobody wrote to it, may not hold the free pointer.
  const isOutside =
    hasConstructor ||
    has(SlabFlag.TYPESAFE_BY_RCU) ||
    has(SlabFlag.POISON) ||
    (isRed && (objectBytes < POINTER_BYTES || keepsRequest));
  // Else it lies near the middle of the object, out of reach of what runs over an end.
  const inside = Math.floor(objectBytes / 2 / POINTER_BYTES) * POINTER_BYTES;
  let bytes = isOutside ? inuseBytes + POINTER_BYTES : inuseBytes;
  if (has(SlabFlag.STORE_USER)) bytes += 2 * PartBytes.TRACK;
  if (keepsRequest) bytes += PartBytes.REQUEST;
  const redLeftBytes = isRed ? alignTo(POINTER_BYTES, alignBytes) : 0;
  if (isRed) bytes += POINTER_BYTES + redLeftBytes;
  return {
    sizeBytes: alignTo(bytes, alignBytes),
    inuseBytes,
    offsetBytes: isOutside ? inuseBytes : inside,
    redLeftBytes,
  };
}

/** Small objects with HWCACHE_ALIGN share a line evenly.  Linux: calculate_alignment. */
export function calculateAlignment(flags: number, alignBytes: number, objectBytes: number): number {
  let least = POINTER_BYTES;
  if ((flags & SlabFlag.HWCACHE_ALIGN) !== 0) {
    least = LINE_BYTES;
    while (objectBytes <= least / 2) least /= 2;
  }
  return alignTo(Math.max(alignBytes, least, POINTER_BYTES), POINTER_BYTES);
}

/**
 * The order of a slab: enough objects that `cpus` CPUs seldom meet at the node's lock, little waste at the end, not
 * above order 3 unless one object needs it.  Linux: calculate_order, calc_slab_order.
 */
export function calculateOrder(sizeBytes: number, cpus: number): number {
  const wanted = 4 * (lastBit(cpus) + 1);
  const fewest = Math.min(wanted, objectsIn(SLAB_MAX_ORDER, sizeBytes));
  const start = fewest === 0 ? SLAB_MAX_ORDER + 1 : orderOf(fewest * sizeBytes);
  for (let fraction = 16; fraction > 1; fraction /= 2) {
    for (let order = start; order <= SLAB_MAX_ORDER; order++) {
      const slabBytes = PAGE_BYTES << order;
      if (slabBytes % sizeBytes <= Math.floor(slabBytes / fraction)) return order;
    }
  }
  return orderOf(sizeBytes);
}

/** Linux: set_cpu_partial. */
function partialObjects(sizeBytes: number): number {
  if (sizeBytes >= PAGE_BYTES) return 6;
  if (sizeBytes >= 1024) return 24;
  return sizeBytes >= 256 ? 52 : 120;
}
