/**
 * Checks of SLAB at rest: the invariants of node-slabs, S1 to S5, for every slab and array of the machine; and that what
 * SLAB itself takes from its caches by size is what is out of them.
 */

import { bug } from "../../../memory/bug.ts";
import { checkedListLength } from "../../../memory/list.ts";
import type { Memory } from "../../../memory/memory.ts";
import type { Pointer } from "../../../memory/units.ts";
import type { PerCpu } from "../../../sync/percpu.ts";
import { PAGE_LINKS, type PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import { readName } from "../cache-record.ts";
import { type CacheRef, SlabGlobals } from "../kmem-cache.ts";
import type { CacheCount } from "../object-allocator.ts";
import type { NodeSlabs } from "./node-slabs.ts";
import { AlienCache, ArrayCache, ENTRIES, Placement, SlabCache, SlabNode } from "./structures.ts";

interface SlabView {
  readonly nodeSlabs: NodeSlabs;
  readonly perCpu: PerCpu;
  readonly possibleCpus: number;
  readonly nodes: readonly number[];
  readonly cpuNode: readonly number[];
  readonly sizeCaches: readonly CacheRef[];
  /** SlabGlobals. */
  readonly globals: Pointer;
}

/** An array and what may be in it. */
interface ArrayPlace {
  readonly name: string;
  readonly at: Pointer;
  /** -1: of any node, since the array is empty or its CPU has no memory of its own. */
  readonly node: number;
}

/** S1-S5 of all caches; what each has. */
export function checkSlab(view: SlabView, all: readonly CacheRef[]): CacheCount[] {
  if (all.length === 0) return [];
  const { memory, backing } = view.nodeSlabs;
  const slabsOf = new Map<CacheRef, PageRef[]>(all.map((cache) => [cache, []]));
  for (const slab of backing.all()) {
    const cache = memory.read(slab + SlabPage.cache);
    const known = slabsOf.get(cache);
    if (known === undefined) bug(`${nameOf(view, slab)} belongs to word ${cache}, which is no cache`);
    known.push(slab);
  }
  const own = new Set<Pointer>();
  const out = new Set<Pointer>();
  const counts = all.map((cache) => checkCache(view, cache, slabsOf.get(cache) ?? [], { own, out }));
  for (const object of own)
    if (!out.has(object)) bug(`S1 word ${object} is in use by SLAB and not given out`);
  // All but the first, which lies in the kernel image.
  const names = checkedListLength(memory, view.globals + SlabGlobals.aliases, "M1 names", Infinity);
  const structures = all.length - 1 + names;
  if (counts[0].active !== structures) {
    bug(
      `S1 cache ${counts[0].name}: ${counts[0].active} objects are in use, there are ${structures} of them`,
    );
  }
  const sized = counts.filter(({ cache }) => view.sizeCaches.includes(cache));
  const used = sized.reduce((sum, { active }) => sum + active, 0);
  if (used !== own.size) bug(`S1 caches by size: ${used} objects are in use, SLAB has ${own.size} of them`);
  return counts;
}

function checkCache(
  view: SlabView,
  cache: CacheRef,
  slabs: readonly PageRef[],
  objects: { own: Set<Pointer>; out: Set<Pointer> },
): CacheCount {
  const { memory } = view.nodeSlabs;
  const name = readName(memory, cache);
  const inArrays = new Map<Pointer, string>();
  for (const place of arraysOf(view, cache, name, objects.own)) checkArray(view, place, inArrays);
  const lists = listsOf(view, cache, name);
  let active = 0;
  for (const slab of slabs) active += checkSlabPage(view, cache, slab, { lists, inArrays, ...objects });
  for (const [slab, list] of lists)
    if (!slabs.includes(slab)) bug(`S3 ${list}: ${nameOf(view, slab)} is none of cache ${name}`);
  if (inArrays.size > 0) {
    const [object, place] = [...inArrays][0];
    bug(`S1 ${place}: word ${object} is no object of cache ${name} that could be there`);
  }
  const perSlab = memory.read(cache + SlabCache.objects);
  return { cache, name, slabs: slabs.length, objects: slabs.length * perSlab, active };
}

/** All arrays of a cache; its nodes' parts and arrays are noted as SLAB's own objects. */
function arraysOf(view: SlabView, cache: CacheRef, cacheName: string, own: Set<Pointer>): ArrayPlace[] {
  const { perCpu, nodes, cpuNode } = view;
  const { memory } = view.nodeSlabs;
  const found: ArrayPlace[] = [];
  for (let cpu = 0; cpu < view.possibleCpus; cpu++) {
    const at = perCpu.of(memory.read(cache + SlabCache.cpuSlab), cpu);
    const node = nodes.includes(cpuNode[cpu]) ? cpuNode[cpu] : -1;
    found.push({ name: `cache ${cacheName} cpu ${cpu}`, at, node });
  }
  for (const nid of nodes) {
    const node = view.nodeSlabs.nodeOf(cache, nid);
    own.add(node);
    const shared = memory.read(node + SlabNode.shared);
    if (shared !== 0) {
      own.add(shared);
      found.push({ name: `cache ${cacheName} node ${nid} shared array`, at: shared, node: nid });
    }
    const table = memory.read(node + SlabNode.alien);
    if (table === 0) continue;
    own.add(table);
    for (const other of nodes) {
      const alien = memory.read(table + other);
      if (alien === 0) continue;
      own.add(alien);
      const name = `cache ${cacheName} node ${nid} alien array for node ${other}`;
      found.push({ name, at: alien + AlienCache.array, node: other });
    }
  }
  return found;
}

/** S5 of one array; its objects are added to `inArrays`. */
function checkArray(view: SlabView, { name, at, node }: ArrayPlace, inArrays: Map<Pointer, string>): void {
  const { memory, backing } = view.nodeSlabs;
  const avail = memory.read(at + ArrayCache.avail);
  const limit = memory.read(at + ArrayCache.limit);
  if (avail < 0 || avail > limit) bug(`S5 ${name}: it holds ${avail} objects, at most ${limit} fit`);
  for (let i = 0; i < avail; i++) {
    const object = memory.read(at + ENTRIES + i);
    const other = inArrays.get(object);
    if (other !== undefined) bug(`S1 ${name}: word ${object} is in ${other}, too`);
    const home = backing.frames.nodeOf(backing.slabOf(object));
    if (node >= 0 && home !== node) bug(`S5 ${name}: word ${object} is of node ${home}`);
    inArrays.set(object, name);
  }
}

/** S4 of a cache's nodes, and the list that each slab is on. */
function listsOf(view: SlabView, cache: CacheRef, cacheName: string): Map<PageRef, string> {
  const { memory } = view.nodeSlabs;
  const perSlab = memory.read(cache + SlabCache.objects);
  const found = new Map<PageRef, string>();
  for (const nid of view.nodes) {
    const node = view.nodeSlabs.nodeOf(cache, nid);
    const total = memory.read(node + SlabNode.totalSlabs);
    let freeObjects = 0;
    const walk = (list: "partial" | "full" | "free"): number => {
      const name = `cache ${cacheName} node ${nid} ${list} list`;
      const head = node + SlabNode[list];
      const length = checkedListLength(memory, head, `S4 ${name}`, total);
      for (let link = memory.read(head); link !== head; link = memory.read(link)) {
        const slab = link - PAGE_LINKS;
        const other = found.get(slab);
        if (other !== undefined) bug(`S3 ${name}: ${nameOf(view, slab)} is on ${other}, too`);
        found.set(slab, name);
        freeObjects += perSlab - memory.read(slab + SlabPage.active);
      }
      return length;
    };
    const free = walk("free");
    const length = walk("partial") + walk("full") + free;
    const said = [SlabNode.totalSlabs, SlabNode.freeSlabs, SlabNode.freeObjects].map((field) =>
      memory.read(node + field),
    );
    if (said[0] !== length || said[1] !== free || said[2] !== freeObjects) {
      bug(
        `S4 cache ${cacheName} node ${nid}: ${length} slabs, ${free} of them free, and ${freeObjects} free objects; ` +
          `the node says ${said.join(", ")}`,
      );
    }
  }
  return found;
}

/** S1-S3 of one slab; its objects that are given out.  What is found in arrays is taken from `inArrays`. */
function checkSlabPage(
  view: SlabView,
  cache: CacheRef,
  slab: PageRef,
  where: {
    lists: ReadonlyMap<PageRef, string>;
    inArrays: Map<Pointer, string>;
    own: Set<Pointer>;
    out: Set<Pointer>;
  },
): number {
  const { memory, backing } = view.nodeSlabs;
  const name = nameOf(view, slab);
  const objects = memory.read(slab + SlabPage.objects);
  const active = memory.read(slab + SlabPage.active);
  if (active < 0 || active > objects) bug(`S2 ${name}: ${active} of ${objects} objects are in use`);
  const state = active === objects ? "full" : active === 0 ? "free" : "partial";
  const expected = `node ${backing.frames.nodeOf(slab)} ${state} list`;
  const list = where.lists.get(slab) ?? "no list";
  if (!list.endsWith(expected))
    bug(`S3 ${name}: ${active} of ${objects} objects are in use, it is on ${list}`);
  const free = freeObjects(view, cache, slab, name);
  if ((memory.read(cache + SlabCache.flags) & Placement.OFF_SLAB) !== 0)
    where.own.add(memory.read(slab + SlabPage.freelist));
  let given = 0;
  for (let i = 0; i < objects; i++) {
    const object = view.nodeSlabs.slabs.objectAt(cache, slab, i);
    const inArray = where.inArrays.get(object);
    where.inArrays.delete(object);
    if (inArray !== undefined && free.has(object))
      bug(`S1 ${name}: word ${object} is free and in ${inArray}`);
    if (inArray !== undefined || free.has(object)) continue;
    where.out.add(object);
    given++;
  }
  return given;
}

/** S2 of one slab: its free objects. */
function freeObjects(view: SlabView, cache: CacheRef, slab: PageRef, name: string): Set<Pointer> {
  const { memory, slabs } = view.nodeSlabs;
  const objects = memory.read(slab + SlabPage.objects);
  const active = memory.read(slab + SlabPage.active);
  const isInObject = (memory.read(cache + SlabCache.flags) & Placement.IN_OBJECT) !== 0;
  const freelist = memory.read(slab + SlabPage.freelist);
  if (isInObject && (freelist === 0) !== (active === objects))
    bug(`S2 ${name}: ${active} of ${objects} objects are in use, its indexes are in word ${freelist}`);
  const free = new Set<Pointer>();
  const indexes = slabs.indexesOf(cache, slab);
  for (let i = active; i < objects; i++) {
    const index = memory.readByte(indexes + i);
    const object = slabs.objectAt(cache, slab, index);
    if (index >= objects || free.has(object))
      bug(`S2 ${name}: index ${index} is free twice, or out of range`);
    free.add(object);
    if (i === objects - 1 && isInObject && object !== freelist)
      bug(`S2 ${name}: its indexes are in word ${freelist}, the last one is of word ${object}`);
  }
  return free;
}

function nameOf(view: SlabView, slab: PageRef): string {
  const { backing, memory }: { backing: NodeSlabs["backing"]; memory: Memory } = view.nodeSlabs;
  return `slab of frame ${backing.frames.pfnOf(slab)} (cache at word ${memory.read(slab + SlabPage.cache)})`;
}
