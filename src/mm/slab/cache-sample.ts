/**
 * Object caches as the main thread sees them while CPUs work on them: no lock is taken, so that who watches changes nothing.
 *
 * Every figure is a hint.  A list that changes meanwhile may lead astray: a walk ends where a word is no longer what it
 * should be, and a cache that is just being made or ended may be missing.  At rest the figures are those of slabinfo.
 *
 * Linux: mm/slub.c get_slabinfo, count_partial_free_approx; mm/slab.c get_slabinfo (6.7); both take list_lock.
 */

import type { RamView } from "../../memory/ram-view.ts";
import type { SlabKind } from "../../memory/shape.ts";
import { wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { PAGE_LINKS } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { readName } from "./cache-record.ts";
import { type CacheRef, cacheBytes, KmemCache, KmemCacheNode, SlabGlobals, SlabState } from "./kmem-cache.ts";
import { SlabCache, SlabNode } from "./slab/structures.ts";
import { inuseOf } from "./slab-word.ts";

/** What one cache has. */
export interface CacheSample {
  readonly name: string;
  /** From one object to the next, bytes. */
  readonly objectBytes: number;
  readonly objectsPerSlab: number;
  readonly pagesPerSlab: number;
  /** What CPUs keep counts as active. */
  readonly activeObjects: number;
  readonly objects: number;
  readonly activeSlabs: number;
  readonly slabs: number;
}

/** Where to look. */
export interface SlabPlace {
  readonly kind: SlabKind;
  /** SlabGlobals. */
  readonly globals: Pointer;
  readonly nodes: number;
}

/** More caches than any program makes: the list has led astray. */
const MOST_CACHES = 4096;
/** Linux: MAX_PARTIAL_TO_SCAN. */
const MOST_SLABS = 10_000;

/** All caches, oldest first; of SLOB none, since it keeps no figures of them. */
export function sampleCaches(ram: RamView, place: SlabPlace): CacheSample[] {
  const head = place.globals + SlabGlobals.caches;
  const found: CacheSample[] = [];
  if (ram.read(place.globals + SlabGlobals.state) !== SlabState.UP || place.kind === "slob") return found;
  for (let link = ram.read(head), i = 0; link !== head && i < MOST_CACHES; link = ram.read(link), i++) {
    if (!ram.isPointer(link - KmemCache.links, cacheBytes(place.nodes) / 4)) break;
    const sample = sampleCache(ram, place, link - KmemCache.links);
    if (sample !== null) found.push(sample);
  }
  return found;
}

function sampleCache(ram: RamView, place: SlabPlace, cache: CacheRef): CacheSample | null {
  const name = readName(ram, cache);
  const objectBytes = ram.read(cache + KmemCache.size);
  const objectsPerSlab = ram.read(cache + KmemCache.objects);
  const order = ram.read(cache + KmemCache.order);
  if (!/^[\x21-\x7e]+$/.test(name) || objectBytes <= 0 || objectsPerSlab <= 0 || order < 0 || order > 10)
    return null;
  const nodes = cache + (place.kind === "slab" ? SlabCache.nodes : KmemCache.nodes);
  const sum = { slabs: 0, objects: 0, free: 0, freeSlabs: 0 };
  for (let nid = 0; nid < place.nodes; nid++) {
    const node = ram.read(nodes + nid);
    if (!ram.isPointer(node, wordsIn(KmemCacheNode))) continue;
    if (place.kind === "slab") addSlabNode(ram, node, objectsPerSlab, sum);
    else addSlubNode(ram, cache, node, sum);
  }
  return {
    name,
    objectBytes,
    objectsPerSlab,
    pagesPerSlab: 1 << order,
    activeObjects: Math.max(0, sum.objects - sum.free),
    objects: sum.objects,
    activeSlabs: sum.slabs - sum.freeSlabs,
    slabs: sum.slabs,
  };
}

interface NodeSum {
  slabs: number;
  objects: number;
  free: number;
  freeSlabs: number;
}

/** SLAB: all is counted. */
function addSlabNode(ram: RamView, node: Pointer, objectsPerSlab: number, sum: NodeSum): void {
  const slabs = Math.max(0, ram.read(node + SlabNode.totalSlabs));
  sum.slabs += slabs;
  sum.objects += slabs * objectsPerSlab;
  sum.free += ram.read(node + SlabNode.freeObjects);
  sum.freeSlabs += ram.read(node + SlabNode.freeSlabs);
}

/** SLUB: the free objects are those of the node's list. */
function addSlubNode(ram: RamView, cache: CacheRef, node: Pointer, sum: NodeSum): void {
  sum.slabs += Math.max(0, ram.read(node + KmemCacheNode.nrSlabs));
  sum.objects += Math.max(0, ram.read(node + KmemCacheNode.totalObjects));
  const head = node + KmemCacheNode.partial;
  const listed = ram.read(node + KmemCacheNode.nrPartial);
  const most = Math.min(listed, MOST_SLABS);
  let free = 0;
  let seen = 0;
  for (let link = ram.read(head); link !== head && seen < most; link = ram.read(link), seen++) {
    const slab = link - PAGE_LINKS;
    if (slab <= 0 || ram.read(slab + SlabPage.cache) !== cache) break;
    free += ram.read(slab + SlabPage.objects) - inuseOf(ram.read(slab + SlabPage.counters));
  }
  // What was not looked at is like the rest.
  sum.free += seen === 0 ? 0 : Math.round((free * Math.max(seen, listed)) / seen);
}
