/**
 * Caches of like objects share one cache and its slabs: who asks for a second gets the first, under another name.
 *
 * Two caches merge when an object of the new one fits into one of the old with less than a pointer to spare, is aligned
 * there as it must be, goes to the same pages, and neither has what only one cache can have: a constructor, debugging,
 * TYPESAFE_BY_RCU, NO_MERGE.
 *
 * The other names are kept in records of their own, so that reports can tell them.  A record is an object of the cache that
 * caches come from, larger than it need be: names need no cache of their own.  All is guarded by slab_mutex.
 *
 * Invariants, at rest (check-slabs tests them)
 *   M1  each record names a cache that is on the list of all caches
 *   M2  refcount is 1 or more, or -1 of the caches that the allocator makes for itself
 *
 * Linux: mm/slab_common.c slab_unmergeable, find_mergeable, __kmem_cache_alias; mm/slub.c sysfs_slab_alias.  Differs:
 * caches of kmalloc, which Linux makes at boot, never become another's alias.
 */

import { bug } from "../../memory/bug.ts";
import { listAddTail, listDel, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import type { SlabKind } from "../../memory/shape.ts";
import { array, struct, word } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { NAME_BYTES } from "./cache-fields.ts";
import { type CacheOptions, readName, writeName } from "./cache-record.ts";
import { type CacheRef, KmemCache, SlabGlobals } from "./kmem-cache.ts";
import { SlabFlag } from "./slab-flags.ts";
import { calculateAlignment, PartBytes } from "./slab-layout.ts";
import { debugFlagsOf, readSlabDebug, type SlabDebug, type SlabSettings } from "./slab-settings.ts";

const { RED_ZONE, POISON, STORE_USER, TYPESAFE_BY_RCU, NO_MERGE } = SlabFlag;
const { RECLAIM_ACCOUNT, CACHE_DMA, CACHE_DMA32, ACCOUNT } = SlabFlag;
/** Linux: SLAB_NEVER_MERGE, SLAB_MERGE_SAME. */
const NEVER = RED_ZONE | POISON | STORE_USER | TYPESAFE_BY_RCU | NO_MERGE;
const SAME = RECLAIM_ACCOUNT | CACHE_DMA | CACHE_DMA32 | ACCOUNT;

/** Another name of a cache.  Linux: struct saved_alias, or a link of /sys/kernel/slab. */
const SlabAlias = struct("slab_alias", {
  /** On the list of all other names. */
  links: array(2, "lock:slab_mutex", "pointer:list_head"),
  cache: word("lock:slab_mutex", "pointer:kmem_cache"),
  pad: word("boot"),
  name: array(NAME_BYTES / WORD_BYTES, "lock:slab_mutex", "bytes"),
});
const alias = SlabAlias;
/** The name of a record lies where that of a cache does, counted from here. */
const AS_CACHE = alias.name - KmemCache.name;

export interface MergeParts {
  readonly memory: Memory;
  readonly globals: Pointer;
  readonly settings: SlabSettings;
  /** SLOB merges nothing, and debugging is SLUB's. */
  readonly kind: SlabKind;
}

export class SlabMerge {
  declare private readonly memory: Memory;
  declare private readonly head: Pointer;
  declare private readonly merges: boolean;
  declare private readonly debug: SlabDebug | null;

  constructor({ memory, globals, settings, kind }: MergeParts) {
    this.memory = memory;
    this.head = globals + SlabGlobals.aliases;
    // A cache with sheaves is nobody else's, and here nearly all have some.
    this.merges = settings.merge && kind !== "slob" && kind !== "sheaves";
    this.debug = kind === "slub" ? readSlabDebug(settings.debug) : null;
  }

  format(): void {
    listInit(this.memory, this.head);
  }

  /** The newest of `caches` that such objects may share, or 0.  Linux: find_mergeable.  @holds slab_mutex */
  find(options: CacheOptions, caches: readonly CacheRef[]): CacheRef {
    const { memory, debug } = this;
    const flags =
      debug === null ? (options.flags ?? 0) : debugFlagsOf(debug, options.flags ?? 0, options.name);
    const isAlone =
      (flags & (NEVER | SlabFlag.KMALLOC)) !== 0 ||
      (options.construct ?? 0) !== 0 ||
      options.hardened === true;
    if (!this.merges || isAlone) return 0;
    const pointers = Math.ceil(options.objectBytes / PartBytes.POINTER) * PartBytes.POINTER;
    const align = calculateAlignment(flags, options.alignBytes ?? 0, pointers);
    const bytes = Math.ceil(pointers / align) * align;
    const fits = (cache: CacheRef): boolean => {
      const theirs = memory.read(cache + KmemCache.flags);
      const size = memory.read(cache + KmemCache.size);
      if ((theirs & NEVER) !== 0 || memory.read(cache + KmemCache.construct) !== 0) return false;
      if (memory.read(cache + KmemCache.refcount) < 0 || (theirs & SAME) !== (flags & SAME)) return false;
      return bytes <= size && size % align === 0 && size - bytes < PartBytes.POINTER;
    };
    return caches.findLast(fits) ?? 0;
  }

  /**
   * One more has `cache`, under `name`, which `record` remembers: an object for it, or 0 when there was none.  Whether the
   * record was used.  Linux: __kmem_cache_alias.
   * @holds slab_mutex
   */
  join(cache: CacheRef, { name, objectBytes }: CacheOptions, record: Pointer): boolean {
    const { memory } = this;
    const raise = (field: number, value: number): void =>
      memory.write(cache + field, Math.max(memory.read(cache + field), value));
    memory.write(cache + KmemCache.refcount, memory.read(cache + KmemCache.refcount) + 1);
    raise(KmemCache.objectSize, objectBytes);
    const known = this.records().find((each) => readName(memory, each + AS_CACHE) === name);
    if (known !== undefined) memory.write(known + alias.cache, cache);
    if (known !== undefined || record === 0 || readName(memory, cache) === name) return false;
    memory.write(record + alias.cache, cache);
    writeName(memory, record + AS_CACHE, name);
    listAddTail(memory, record + alias.links, this.head);
    return true;
  }

  /** One fewer has `cache`; true when nobody has it any more.  @holds slab_mutex */
  leave(cache: CacheRef): boolean {
    const { memory } = this;
    const left = memory.read(cache + KmemCache.refcount) - 1;
    memory.write(cache + KmemCache.refcount, left);
    return left === 0;
  }

  /** Takes the records of a cache that ends off the list.  @holds slab_mutex */
  takeRecords(cache: CacheRef): Pointer[] {
    const own = this.records().filter((record) => this.memory.read(record + alias.cache) === cache);
    for (const record of own) listDel(this.memory, record + alias.links);
    return own;
  }

  /** The other names of a cache. */
  namesOf(cache: CacheRef): string[] {
    const { memory } = this;
    return this.records()
      .filter((record) => memory.read(record + alias.cache) === cache)
      .map((record) => readName(memory, record + AS_CACHE));
  }

  /** M1, M2. */
  check(caches: readonly CacheRef[]): void {
    const { memory } = this;
    for (const record of this.records()) {
      const cache = memory.read(record + alias.cache);
      if (!caches.includes(cache))
        bug(`M1 the name ${readName(memory, record + AS_CACHE)} is of word ${cache}, which is no cache`);
    }
    for (const cache of caches) {
      const references = memory.read(cache + KmemCache.refcount);
      if (references < 1 && references !== -1)
        bug(`M2 cache ${readName(memory, cache)}: refcount is ${references}`);
    }
  }

  private records(): Pointer[] {
    const { memory, head } = this;
    const found: Pointer[] = [];
    for (let link = memory.read(head); link !== head; link = memory.read(link))
      found.push(link - alias.links);
    return found;
  }
}
