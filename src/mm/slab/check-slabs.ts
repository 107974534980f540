/**
 * Checks of the object allocator at rest: the invariants of partial-lists, U1 to U6, for every slab of the machine.
 *
 * The slabs are found by their pages' type, so that one that is on no list, full or lost, is looked at as well.
 */

import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { readName } from "./cache-record.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode, SlabGlobals } from "./kmem-cache.ts";
import type { CacheCount } from "./object-allocator.ts";
import type { SlabCaches } from "./slab-caches.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";
import type { SlabPages } from "./slab-pages.ts";
import { headOf, inuseOf, isFrozen } from "./slab-word.ts";

/** What SLUB's check looks at. */
interface SlubView {
  readonly globals: Pointer;
  readonly slabs: SlabPages;
  readonly perCpu: PerCpu;
  readonly possibleCpus: number;
  readonly nodes: readonly number[];
}

/** Where a slab was met besides its own page. */
interface Place {
  readonly name: string;
  readonly isCpuSlab: boolean;
  readonly onNode: boolean;
  /** On a node's list of full slabs. */
  readonly isFull?: boolean;
  /** This CPU's own free list. */
  readonly freelist: Pointer;
}

/** Every invariant of the allocator, at rest; what each cache has. */
export function checkSlabs(caches: SlabCaches): CacheCount[] {
  const all = caches.all();
  caches.merge.check(all);
  return caches.allocator.check(all);
}

/** U1-U6 of all of SLUB's caches, and that their own structures are counted like all objects. */
export function checkSlub(view: SlubView, all: readonly CacheRef[]): CacheCount[] {
  if (all.length === 0) return [];
  const { memory } = view.slabs;
  const slabsOf = new Map<CacheRef, PageRef[]>(all.map((cache) => [cache, []]));
  for (const slab of view.slabs.all()) {
    const cache = memory.read(slab + SlabPage.cache);
    const known = slabsOf.get(cache);
    if (known === undefined) bug(`${slabName(view.slabs, slab)} belongs to word ${cache}, which is no cache`);
    known.push(slab);
  }
  const counts = all.map((cache) => checkCache(view, cache, slabsOf.get(cache) ?? []));
  const expect = (field: number, structures: number): void => {
    const cache = memory.read(view.globals + field);
    const count = counts.find((c) => c.cache === cache);
    if (count?.active !== structures)
      bug(`U1 cache ${count?.name}: ${count?.active} objects are in use, there are ${structures} of them`);
  };
  const names = checkedListLength(memory, view.globals + SlabGlobals.aliases, "M1 names", Infinity);
  expect(SlabGlobals.kmemCache, all.length + names);
  expect(SlabGlobals.kmemCacheNode, all.length * view.nodes.length);
  return counts;
}

function checkCache(view: SlubView, cache: CacheRef, slabs: PageRef[]): CacheCount {
  const { slabs: pages } = view;
  const { memory } = pages;
  const name = readName(memory, cache);
  const places = placesOf(view, cache, name);
  let objects = 0;
  let active = 0;
  for (const slab of slabs) {
    objects += memory.read(slab + SlabPage.objects);
    active += checkSlab(pages, cache, slab, places.get(slab) ?? []);
  }
  for (const [slab, [place]] of places) {
    if (!slabs.includes(slab)) bug(`U4 ${place.name}: ${slabName(pages, slab)} is none of cache ${name}`);
  }
  for (const nid of view.nodes) {
    const node = memory.read(cache + KmemCache.nodes + nid);
    const own = slabs.filter((slab) => pages.frames.nodeOf(slab) === nid);
    const sum = own.reduce((total, slab) => total + memory.read(slab + SlabPage.objects), 0);
    const nrSlabs = memory.load(node + KmemCacheNode.nrSlabs);
    const total = memory.load(node + KmemCacheNode.totalObjects);
    if (nrSlabs !== own.length || total !== sum) {
      bug(
        `U6 cache ${name} node ${nid}: ${own.length} slabs of ${sum} objects, the node says ${nrSlabs} of ${total}`,
      );
    }
  }
  return { cache, name, slabs: slabs.length, objects, active };
}

/** U5 of a cache, and every place where one of its slabs is met. */
function placesOf(view: SlubView, cache: CacheRef, cacheName: string): Map<PageRef, Place[]> {
  const { perCpu } = view;
  const { memory } = view.slabs;
  const found = new Map<PageRef, Place[]>();
  const meet = (slab: PageRef, place: Place): void =>
    void found.set(slab, [...(found.get(slab) ?? []), place]);
  for (let cpu = 0; cpu < view.possibleCpus; cpu++) {
    const own = perCpu.of(memory.read(cache + KmemCache.cpuSlab), cpu);
    const name = `cache ${cacheName} cpu ${cpu}`;
    const slab = memory.read(own + KmemCacheCpu.slab);
    const freelist = memory.read(own + KmemCacheCpu.freelist);
    if (slab !== 0) meet(slab, { name, isCpuSlab: true, onNode: false, freelist });
    else if (freelist !== 0) bug(`U1 ${name}: free objects from word ${freelist} on, and no slab`);
    const first = memory.read(own + KmemCacheCpu.partial);
    const said = first === 0 ? 0 : memory.read(first + SlabPage.slabs);
    let length = 0;
    for (let at = first; at !== 0; at = memory.read(at + SlabPage.next)) {
      if (++length > said) bug(`U5 ${name}: its partial list is longer than ${said}`);
      meet(at, { name: `${name} partial list`, isCpuSlab: false, onNode: false, freelist: 0 });
    }
    if (length !== said) bug(`U5 ${name}: its partial list has ${length} slabs, it says ${said}`);
  }
  for (const nid of view.nodes) {
    const node = memory.read(cache + KmemCache.nodes + nid);
    const name = `cache ${cacheName} node ${nid}`;
    const head = node + KmemCacheNode.partial;
    const said = memory.read(node + KmemCacheNode.nrPartial);
    const length = checkedListLength(memory, head, `U5 ${name}`, said);
    if (length !== said) bug(`U5 ${name}: its list has ${length} slabs, nr_partial says ${said}`);
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      meet(link - PAGE_LINKS, { name, isCpuSlab: false, onNode: true, freelist: 0 });
    }
    const fullHead = node + KmemCacheNode.full;
    checkedListLength(memory, fullHead, `D2 ${name}`, memory.load(node + KmemCacheNode.nrSlabs));
    for (let link = memory.read(fullHead); link !== fullHead; link = memory.read(link)) {
      meet(link - PAGE_LINKS, {
        name: `${name} full list`,
        isCpuSlab: false,
        onNode: false,
        isFull: true,
        freelist: 0,
      });
    }
  }
  return found;
}

/** U1-U4 of one slab; its objects that are given out. */
function checkSlab(pages: SlabPages, cache: CacheRef, slab: PageRef, places: readonly Place[]): number {
  const { memory } = pages;
  const name = slabName(pages, slab);
  const word = memory.load(slab + SlabPage.counters);
  const objects = memory.read(slab + SlabPage.objects);
  const left = memory.read(cache + KmemCache.redLeft) >> 2;
  const free = new Set<Pointer>();
  const collect = (first: Pointer): number => {
    const before = free.size;
    for (let object = first; object !== 0; object = pages.next(cache, object)) {
      if (pages.slabOf(object) !== slab) bug(`U1 ${name}: free object at word ${object} is not in it`);
      pages.headFor(cache, slab, object - left);
      if (free.has(object)) bug(`U2 ${name}: object at word ${object} is free twice`);
      free.add(object);
    }
    return free.size - before;
  };
  const first = pages.objectAt(cache, slab, headOf(word));
  const own = collect(first === 0 ? 0 : first + left);
  if (inuseOf(word) !== objects - own)
    bug(`U1 ${name}: ${own} of ${objects} objects are free, inuse is ${inuseOf(word)}`);
  for (const { freelist } of places) collect(freelist);
  const flags = memory.read(cache + KmemCache.flags);
  if ((flags & SLAB_DEBUG_FLAGS) !== 0) return checkDebugSlab(pages, cache, slab, places, own);
  const where = places.map((place) => place.name).join(" and ");
  const holders = places.filter((place) => place.isCpuSlab).length;
  if (isFrozen(word) !== (holders === 1 && places.length === 1))
    bug(`U3 ${name}: frozen is ${isFrozen(word)}, it is in ${where || "no list"}`);
  const expected = isFrozen(word) || own > 0 ? 1 : 0;
  if (places.length !== expected) bug(`U4 ${name}: ${own} objects are free, it is in ${where || "no list"}`);
  const listed = places.some((place) => place.onNode) ? 1 : 0;
  const flag = memory.read(slab + SlabPage.onNodeList);
  if (flag !== listed) bug(`U4 ${name}: onNodeList is ${flag}, it is in ${where || "no list"}`);
  return objects - free.size;
}

/** D1, D2 of one slab of a cache with debugging, `free` of whose objects are; its objects that are given out. */
function checkDebugSlab(
  pages: SlabPages,
  cache: CacheRef,
  slab: PageRef,
  places: readonly Place[],
  free: number,
): number {
  const { memory } = pages;
  const name = slabName(pages, slab);
  const where = places.map((place) => place.name).join(" and ") || "no list";
  const objects = memory.read(slab + SlabPage.objects);
  const isOutOfUse = isFrozen(memory.load(slab + SlabPage.counters));
  if (places.some((place) => place.isCpuSlab)) bug(`D1 ${name}: it is in ${where}`);
  const listsFull = (memory.read(cache + KmemCache.flags) & SlabFlag.STORE_USER) !== 0;
  const isPartial = free > 0;
  const expected = !isOutOfUse && (isPartial || listsFull) ? 1 : 0;
  const fits = places.length === expected && places.every((place) => (place.isFull ?? false) === !isPartial);
  if (!fits || (isOutOfUse && isPartial))
    bug(`${isOutOfUse ? "D1" : "D2"} ${name}: ${free} objects are free, it is in ${where}`);
  const flag = memory.read(slab + SlabPage.onNodeList);
  if (flag !== (isPartial ? 1 : 0)) bug(`D2 ${name}: onNodeList is ${flag}, it is in ${where}`);
  return objects - free;
}

function slabName(
  { frames, memory }: { frames: SlabPages["frames"]; memory: Memory },
  slab: PageRef,
): string {
  return `slab of frame ${frames.pfnOf(slab)} (cache at word ${memory.read(slab + SlabPage.cache)})`;
}
