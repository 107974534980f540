/**
 * What a cache is told when it is made, and how its structure says so.
 *
 * Linux: mm/slab_common.c kmem_cache_create_usercopy, mm/slub.c do_kmem_cache_create.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import { NAME_BYTES } from "./cache-fields.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";
import { SLAB_FLAGS } from "./slab-flags.ts";
import { MAX_OBJECT_BYTES, slabLayout } from "./slab-layout.ts";
import { MAX_OBJECTS } from "./slab-word.ts";

/** kmalloc's largest objects lie on multiples of their size. */
const MAX_ALIGN_BYTES = 2 * PAGE_BYTES;

export interface CacheOptions {
  /** 1 to 31 ASCII characters. */
  readonly name: string;
  readonly objectBytes: number;
  /** A power of two up to two pages; 0, the default: 8, or what the flags ask for. */
  readonly alignBytes?: number;
  /** Of `SlabFlag`. */
  readonly flags?: number;
  /** Runs on each object when its slab is made: `(cpu, object)`. */
  readonly construct?: FunctionId;
  /** Store free pointers mixed with a secret and their place.  Linux: CONFIG_SLAB_FREELIST_HARDENED. */
  readonly hardened?: boolean;
  /** The declared struct of the objects, whose pointers the leak scan follows; without one it looks at every word. */
  readonly struct?: object;
  /** With `slab: "sheaves"`: objects of a sheaf, 0 none; default 32.  Linux 6.18: kmem_cache_args.sheaf_capacity. */
  readonly sheafCapacity?: number;
}

/** Linux: remote_node_defrag_ratio. */
const REMOTE_RATIO = 1000;

/** Writes everything about a cache of SLUB but its parts on CPUs and nodes. */
export function writeCache(
  memory: Memory,
  cache: CacheRef,
  options: CacheOptions,
  machine: { readonly cpus: number; readonly cookie: number },
): void {
  writeIdentity(memory, cache, options);
  const { name, objectBytes, alignBytes = 0, flags = 0 } = options;
  const construct = options.construct ?? 0;
  const layout = slabLayout(
    { objectBytes, alignBytes, flags, hasConstructor: construct !== 0 },
    machine.cpus,
  );
  if (layout.objects > MAX_OBJECTS)
    bug(
      `kmem_cache_create(${name}): ${layout.objects} objects in a slab, at most ${MAX_OBJECTS} can be counted`,
    );
  const write = (field: number, value: number): void => memory.write(cache + field, value);
  write(KmemCache.size, layout.sizeBytes);
  write(KmemCache.offset, layout.offsetBytes);
  write(KmemCache.random, machine.cookie);
  write(KmemCache.order, layout.order);
  write(KmemCache.objects, layout.objects);
  write(KmemCache.minOrder, layout.minOrder);
  write(KmemCache.minObjects, layout.minObjects);
  write(KmemCache.minPartial, layout.minPartial);
  write(KmemCache.cpuPartial, layout.cpuPartial);
  write(KmemCache.cpuPartialSlabs, layout.cpuPartialSlabs);
  write(KmemCache.inuse, layout.inuseBytes);
  write(KmemCache.redLeft, layout.redLeftBytes);
  write(KmemCache.align, layout.alignBytes);
  write(KmemCache.remoteRatio, REMOTE_RATIO);
}

/** Writes what any allocator's cache says of itself: name, flags, size of the object, constructor.  A bug when options are wrong. */
export function writeIdentity(memory: Memory, cache: CacheRef, options: CacheOptions): void {
  checkOptions(options);
  const { name, objectBytes, flags = 0 } = options;
  memory.write(cache + KmemCache.refcount, 1);
  memory.write(cache + KmemCache.flags, flags);
  memory.write(cache + KmemCache.objectSize, objectBytes);
  memory.write(cache + KmemCache.construct, options.construct ?? 0);
  writeName(memory, cache, name);
}

export function writeName(memory: Memory, cache: CacheRef, name: string): void {
  for (let i = 0; i < NAME_BYTES; i++) {
    const code = i < name.length ? name.charCodeAt(i) : 0;
    memory.writeByte((cache + KmemCache.name) * WORD_BYTES + i, code);
  }
}

/** The name of a cache. */
export function readName(memory: Pick<Memory, "readByte">, cache: CacheRef): string {
  const start = (cache + KmemCache.name) * WORD_BYTES;
  let name = "";
  for (let i = 0; i < NAME_BYTES; i++) {
    const code = memory.readByte(start + i);
    if (code === 0) break;
    name += String.fromCharCode(code);
  }
  return name;
}

/** A bug when options are wrong. */
export function checkOptions({ name, objectBytes, alignBytes = 0, flags = 0 }: CacheOptions): void {
  if (!/^[\x21-\x7e]{1,31}$/.test(name))
    bug(
      `kmem_cache_create: name "${name}" must be 1 to ${NAME_BYTES - 1} printable characters without spaces`,
    );
  if (!Number.isInteger(objectBytes) || objectBytes < 1 || objectBytes > MAX_OBJECT_BYTES)
    bug(`kmem_cache_create(${name}): objectBytes ${objectBytes}: valid are 1 to ${MAX_OBJECT_BYTES}`);
  const isPower = Number.isInteger(alignBytes) && (alignBytes & (alignBytes - 1)) === 0;
  if (!isPower || alignBytes < 0 || alignBytes > MAX_ALIGN_BYTES)
    bug(
      `kmem_cache_create(${name}): alignBytes ${alignBytes}: valid are 0 and powers of two up to ${MAX_ALIGN_BYTES}`,
    );
  if ((flags & ~SLAB_FLAGS) !== 0)
    bug(
      `kmem_cache_create(${name}): flags 0x${flags.toString(16)}: valid are those of 0x${SLAB_FLAGS.toString(16)}`,
    );
}
