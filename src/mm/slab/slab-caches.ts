/**
 * Object caches: `kmem_cache_create` and its kin, seen from one CPU.  The door to the allocator that the shape chooses:
 * SLUB, SLAB or SLOB.
 *
 * The first caches, of which the structures of all caches are objects, are made together with the first cache that a
 * program asks for, so that a machine whose program uses none has all its pages.
 *
 * A CPU that leaves gives up what it has (`leave`): who flushes a cache calls the CPUs that are online, and no others.
 *
 * Linux: mm/slab_common.c kmem_cache_create, kmem_cache_destroy, kmem_cache_shrink.  Differs: CPUs flush in an interrupt,
 * where Linux's SLUB queues work on each.
 */

import { bug } from "../../memory/bug.ts";
import type { ImageLayout, Slot } from "../../memory/image.ts";
import { listAddTail, listDel, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { type SlabKind, shape } from "../../memory/shape.ts";
import { type Layout, layoutOf } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { Node } from "../pages/node.ts";
import { type CacheOptions, checkOptions, readName } from "./cache-record.ts";
import { type CacheRef, KmemCache, SlabGlobals, SlabState } from "./kmem-cache.ts";
import type { ObjectAllocator, ObjectPaths, SlabInfo } from "./object-allocator.ts";
import { SheafAllocator } from "./sheaves/sheaf-allocator.ts";
import { SlabAllocator } from "./slab/slab-allocator.ts";
import { declareSlab, type SlabImage } from "./slab/slab-image.ts";
import { NO_NODE } from "./slab-backing.ts";
import { SlabFlag } from "./slab-flags.ts";
import { SlabMerge } from "./slab-merge.ts";
import type { SlabPages } from "./slab-pages.ts";
import type { AllocatorParts, SlabParts } from "./slab-parts.ts";
import { SlobAllocator } from "./slob/slob-allocator.ts";
import { SlubAllocator } from "./slub-allocator.ts";

const globalField = SlabGlobals;
const injectsFaults = shape.failslab;
const ANY_NODE = NO_NODE;

export interface SlabSlots {
  readonly globals: Slot;
  /** What SLAB has in the kernel image; null with another allocator. */
  readonly slab: SlabImage | null;
  /** SlobGlobals, with SLOB. */
  readonly slob: Slot | null;
}

export class SlabCaches {
  /** Where the caches' globals are. */
  declare readonly globals: Pointer;
  declare readonly memory: Memory;
  declare readonly kind: SlabKind;
  declare readonly possibleCpus: number;
  /** Nodes with memory. */
  declare readonly nodes: readonly number[];
  declare readonly allocator: ObjectAllocator;
  /** An object, or 0.  Linux: kmem_cache_alloc. */
  declare alloc: (cache: CacheRef, gfp: number) => Pointer;
  /** An object of `node` if it has one or memory for one, else of a node near it.  Linux: kmem_cache_alloc_node. */
  declare allocNode: (cache: CacheRef, gfp: number, node: number) => Pointer;
  /** Linux: kmem_cache_free. */
  declare free: (cache: CacheRef, object: Pointer) => void;
  declare private readonly objects: ObjectPaths;
  declare private readonly parts: SlabParts;
  /** Caches that share, and the names of those that do. */
  declare readonly merge: SlabMerge;

  /** slab_mutex. */
  declare readonly mutex: Pointer;
  /** By name; only for reports, so it need not be shared. */
  private readonly structs = new Map<string, Layout>();
  declare private readonly flushFunction: FunctionId;

  constructor(parts: SlabParts) {
    const { cpu, pages, possibleCpus } = parts;
    this.parts = parts;
    this.kind = parts.kind;
    this.memory = cpu.memory;
    this.possibleCpus = possibleCpus;
    this.globals = parts.slots.globals.address;
    this.mutex = this.globals + globalField.mutex;
    const { frames } = pages;
    this.nodes = Array.from({ length: frames.nodeCount }, (_, node) => node).filter(
      (node) => cpu.memory.read(frames.nodeAt(node) + Node.presentPages) > 0,
    );
    const { globals, nodes } = this;
    this.allocator = allocatorOf({ ...parts, globals, nodes, reap: () => void this.reap() });
    this.objects = this.allocator.objects;
    // Closures over the one allocator of this thread: see docs/decisions/006.
    const { objects } = this;
    const { failslab } = parts;
    this.alloc = (cache, gfp) =>
      injectsFaults && failslab.shouldFail(cache, gfp) ? 0 : objects.alloc(cache, gfp, ANY_NODE);
    this.allocNode = (cache, gfp, node) =>
      injectsFaults && failslab.shouldFail(cache, gfp) ? 0 : objects.alloc(cache, gfp, node);
    this.free = (cache, object) => objects.free(cache, object);
    const { memory, kind } = this;
    this.merge = new SlabMerge({ ...parts, memory, globals, kind });
    this.flushFunction = parts.functions.register("flush_cpu_slab", (_cpu, cache) =>
      this.allocator.flushHere(cache),
    );
  }

  static declare(layout: ImageLayout, kind: SlabKind, nodes: number): SlabSlots {
    return {
      globals: layout.place("slab_globals", SlabGlobals),
      slab: kind === "slab" ? declareSlab(layout, nodes) : null,
      slob: kind === "slob" ? SlobAllocator.declare(layout) : null,
    };
  }

  /** First state, on the boot CPU. */
  format(): void {
    this.memory.write(this.globals + globalField.state, SlabState.DOWN);
    this.parts.mutexes.format(this.mutex, LockClass.SLAB_MUTEX);
    listInit(this.memory, this.globals + globalField.caches);
    this.merge.format();
    this.allocator.format();
  }

  /** Whether the machine was told to debug object caches. */
  get hasDebugging(): boolean {
    return this.parts.settings.debug !== "";
  }

  /** SLUB's slabs. */
  get slabs(): SlabPages {
    if (this.allocator instanceof SlubAllocator) return this.allocator.slabs;
    return bug(`slab ${this.kind}: only SLUB has slabs of this kind`);
  }

  // ---- objects ----

  /** `count` objects, appended to `into`, or none: true if there were as many.  Linux: kmem_cache_alloc_bulk. */
  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    if (injectsFaults && this.parts.failslab.shouldFail(cache, gfp)) return false;
    return this.objects.allocBulk(cache, gfp, count, into);
  }

  /** Linux: kmem_cache_free_bulk. */
  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    this.objects.freeBulk(cache, objects);
  }

  // ---- caches ----

  /** A cache of such objects, or 0 when there is no memory for it.  Linux: kmem_cache_create.  @may-sleep */
  create(options: CacheOptions): CacheRef {
    const { memory, parts, globals } = this;
    checkOptions(options);
    parts.mutexes.lock(this.mutex);
    if (memory.read(globals + globalField.state) === SlabState.DOWN) this.bootstrap();
    const cache = this.makeAlias(options) || this.make(options);
    parts.mutexes.unlock(this.mutex);
    if (cache !== 0) {
      if (options.struct !== undefined) this.structs.set(options.name, layoutOf(options.struct));
      return cache;
    }
    if (((options.flags ?? 0) & SlabFlag.PANIC) !== 0) bug(`kmem_cache_create(${options.name}): no memory`);
    return 0;
  }

  /** The struct of a cache's objects, for the leak scan; null when this CPU was told none. */
  structOf(name: string): Layout | null {
    return this.structs.get(name) ?? null;
  }

  /**
   * Ends a cache; all its pages go back.  False, and the cache stays, when some of its objects are still in use.
   * Linux: kmem_cache_destroy.
   * @may-sleep
   */
  destroy(cache: CacheRef): boolean {
    const { memory, parts, allocator } = this;
    parts.mutexes.lock(this.mutex);
    if (!this.merge.leave(cache)) {
      parts.mutexes.unlock(this.mutex);
      return true; // others have it
    }
    this.flushAll(cache);
    const isEmpty = allocator.shutDown(cache);
    const isTypesafe = (memory.read(cache + KmemCache.flags) & SlabFlag.TYPESAFE_BY_RCU) !== 0;
    const from = memory.read(this.globals + globalField.kmemCache);
    if (isEmpty) {
      listDel(memory, cache + KmemCache.links);
      for (const record of this.merge.takeRecords(cache)) this.objects.free(from, record);
    } else memory.write(cache + KmemCache.refcount, 1);
    parts.mutexes.unlock(this.mutex);
    if (!isEmpty) {
      parts.report(`kmem_cache_destroy ${readName(memory, cache)}: Slab cache still has objects`);
      return false;
    }
    if (isTypesafe) parts.rcu.barrier(); // the callbacks of its slabs read its structure
    allocator.release(cache);
    this.objects.free(from, cache);
    return true;
  }

  /**
   * Gives back the slabs without objects in use.  True when no slab is left.  Linux: kmem_cache_shrink.
   * @may-sleep
   */
  shrink(cache: CacheRef): boolean {
    const { parts } = this;
    parts.mutexes.lock(this.mutex);
    this.flushAll(cache);
    const isEmpty = this.allocator.shrink(cache);
    parts.mutexes.unlock(this.mutex);
    return isEmpty;
  }

  /**
   * Looks at every object of a cache with debugging that lies on a list, and reports what is damaged: slabs looked at,
   * reports made.  Linux: validate_slab_cache.
   * @may-sleep
   */
  validate(cache: CacheRef): { slabs: number; errors: number } {
    const { parts } = this;
    parts.mutexes.lock(this.mutex);
    this.flushAll(cache);
    const found = this.allocator.validate?.(cache) ?? { slabs: 0, errors: 0 };
    parts.mutexes.unlock(this.mutex);
    return found;
  }

  /** All CPUs give up what they have of the cache.  Linux: flush_all, drain_cpu_caches.  @may-sleep */
  flushAll(cache: CacheRef): void {
    const { calls, online } = this.parts;
    calls.onEachOf(online.mask, this.flushFunction, cache, true, (cpu) =>
      this.allocator.hasCpuPart(cache, cpu),
    );
  }

  /** This CPU is about to go offline: it gives up what it has of all caches.  Linux: slub_cpu_dead.  @may-sleep */
  leave(): void {
    const { memory, parts, globals } = this;
    if (memory.read(globals + globalField.state) !== SlabState.UP) return;
    parts.mutexes.lock(this.mutex);
    for (const cache of this.all()) this.allocator.leave(cache);
    parts.mutexes.unlock(this.mutex);
  }

  /** For the timer tick. */
  tick(): void {
    this.allocator.reaper?.tick();
  }

  /**
   * What the reaper does every two seconds: a part of what lies in arrays, and of free slabs, goes back.  False, and
   * nothing is done, when somebody makes or ends a cache.  Linux: cache_reap.
   */
  reap(): boolean {
    const { memory, parts, globals } = this;
    const { reaper } = this.allocator;
    if (reaper === null || memory.read(globals + globalField.state) !== SlabState.UP) return false;
    if (!parts.mutexes.tryLock(this.mutex)) return false;
    for (const cache of this.all()) reaper.reap(cache);
    reaper.finish();
    parts.mutexes.unlock(this.mutex);
    return true;
  }

  /** All caches, oldest first; at rest, or with slab_mutex held. */
  all(): CacheRef[] {
    const { memory } = this;
    const head = this.globals + globalField.caches;
    const found: CacheRef[] = [];
    if (memory.read(this.globals + globalField.state) === SlabState.DOWN) return found;
    for (let link = memory.read(head); link !== head; link = memory.read(link))
      found.push(link - KmemCache.links);
    return found;
  }

  /** Every cache with its figures, oldest first.  Linux: slab_show.  @may-sleep */
  infos(): { cache: CacheRef; name: string; info: SlabInfo }[] {
    const { memory, parts } = this;
    parts.mutexes.lock(this.mutex);
    const found = this.all().map((cache) => ({
      cache,
      name: readName(memory, cache),
      info: this.allocator.slabInfo(cache),
    }));
    parts.mutexes.unlock(this.mutex);
    return found;
  }

  /** A cache that is there and that such objects may share, or 0.  @holds slab_mutex */
  private makeAlias(options: CacheOptions): CacheRef {
    const { merge, objects } = this;
    const cache = merge.find(options, this.all());
    if (cache === 0) return 0;
    const from = this.memory.read(this.globals + globalField.kmemCache);
    const record = objects.alloc(from, Gfp.KERNEL | GfpFlag.ZERO, NO_NODE);
    const isUsed = merge.join(cache, options, record);
    if (!isUsed && record !== 0) objects.free(from, record);
    this.allocator.raiseUse?.(cache, options.objectBytes);
    return cache;
  }

  /** @holds slab_mutex */
  private make(options: CacheOptions): CacheRef {
    const { objects } = this;
    const from = this.memory.read(this.globals + globalField.kmemCache);
    const cache = objects.alloc(from, Gfp.KERNEL | GfpFlag.ZERO, NO_NODE);
    if (cache === 0) return 0;
    // What one cache alone does to its free pointers, no other can share.
    const flags = (options.flags ?? 0) | (options.hardened === true ? SlabFlag.NO_MERGE : 0);
    if (this.allocator.setUp(cache, { ...options, flags })) {
      this.link(cache);
      return cache;
    }
    objects.free(from, cache);
    return 0;
  }

  private link(cache: CacheRef): void {
    listAddTail(this.memory, cache + KmemCache.links, this.globals + globalField.caches);
  }

  /** @holds slab_mutex */
  private bootstrap(): void {
    this.allocator.bootstrap((cache) => this.link(cache));
    for (const cache of this.all()) this.memory.write(cache + KmemCache.refcount, -1);
    this.memory.write(this.globals + globalField.state, SlabState.UP);
  }
}

function allocatorOf(parts: AllocatorParts): ObjectAllocator {
  switch (parts.kind) {
    case "slub":
      return new SlubAllocator(parts);
    case "sheaves":
      return new SheafAllocator(parts);
    case "slab":
      return new SlabAllocator(parts);
    case "slob":
      return new SlobAllocator(parts);
  }
}
