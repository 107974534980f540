/**
 * /sys/kernel/slab: what each cache of SLUB is made of and what it has, one value a file.
 *
 * "sys/kernel/slab" lists the caches, "sys/kernel/slab/NAME" its files each with its value, and
 * "sys/kernel/slab/NAME/FILE" prints one.  Counts are followed by those of each node that has some ("12 N0=8 N1=4"), or of
 * each CPU.
 *
 * Linux: mm/slub.c, the SLAB_ATTR functions, show_slab_objects.  Differs: a cache is known by its own name and by those of
 * caches that were merged with it, where Linux has a folder for each kind of cache and links from the names; the files that a write starts something by
 * (shrink, validate) are empty, as they are when read; there is no failslab or skip_kfence.
 */

import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { PAGE_LINKS, type PageRef } from "../mm/pages/page.ts";
import { SlabPage } from "../mm/pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode } from "../mm/slab/kmem-cache.ts";
import { SlabFlag } from "../mm/slab/slab-flags.ts";
import { inuseOf } from "../mm/slab/slab-word.ts";
import type { ProcSource, SlabSource } from "./source.ts";

type Source = ProcSource & SlabSource;
type Show = (source: Source, cache: CacheRef) => string;

export const SYS_SLAB = "sys/kernel/slab";

const word =
  (field: number, divisor = 1): Show =>
  ({ slabs: { memory } }, cache) =>
    String(memory.read(cache + field) / divisor);
const flag =
  (bit: number): Show =>
  ({ slabs: { memory } }, cache) =>
    (memory.read(cache + KmemCache.flags) & bit) !== 0 ? "1" : "0";
const nothing: Show = () => "";

/** Files of a cache, in the order of their names. */
const FILES: Readonly<Record<string, Show>> = {
  aliases: ({ slabs: { memory } }, cache) => String(Math.max(0, memory.read(cache + KmemCache.refcount) - 1)),
  align: word(KmemCache.align),
  cache_dma: flag(SlabFlag.CACHE_DMA),
  cpu_partial: word(KmemCache.cpuPartial),
  cpu_slabs: (source, cache) => byNode(source, cpuSlabs(source, cache)),
  ctor: ({ slabs: { memory }, functions }, cache) => {
    const id = memory.read(cache + KmemCache.construct);
    return id === 0 ? "" : functions.nameOf(id);
  },
  destroy_by_rcu: flag(SlabFlag.TYPESAFE_BY_RCU),
  hwcache_align: flag(SlabFlag.HWCACHE_ALIGN),
  min_partial: word(KmemCache.minPartial),
  object_size: word(KmemCache.objectSize),
  objects: (source, cache) =>
    byNode(
      source,
      nodeCounts(source, cache, (node) => {
        const all = source.slabs.memory.load(node + KmemCacheNode.totalObjects);
        return all - onList(source, node, (slab) => objectsOf(source, slab) - inuse(source, slab));
      }),
    ),
  objects_partial: (source, cache) =>
    byNode(
      source,
      nodeCounts(source, cache, (node) => onList(source, node, (slab) => inuse(source, slab))),
    ),
  objs_per_slab: word(KmemCache.objects),
  order: word(KmemCache.order),
  partial: (source, cache) =>
    byNode(
      source,
      nodeCounts(source, cache, (node) => source.slabs.memory.read(node + KmemCacheNode.nrPartial)),
    ),
  poison: flag(SlabFlag.POISON),
  reclaim_account: flag(SlabFlag.RECLAIM_ACCOUNT),
  red_zone: flag(SlabFlag.RED_ZONE),
  remote_node_defrag_ratio: word(KmemCache.remoteRatio, 10),
  sanity_checks: flag(SlabFlag.CONSISTENCY_CHECKS),
  shrink: nothing,
  slab_size: word(KmemCache.size),
  slabs: (source, cache) =>
    byNode(
      source,
      nodeCounts(source, cache, (node) => source.slabs.memory.load(node + KmemCacheNode.nrSlabs)),
    ),
  slabs_cpu_partial: slabsCpuPartial,
  store_user: flag(SlabFlag.STORE_USER),
  total_objects: (source, cache) =>
    byNode(
      source,
      nodeCounts(source, cache, (node) => source.slabs.memory.load(node + KmemCacheNode.totalObjects)),
    ),
  // Tracing of single caches does not exist: never on.
  trace: () => "0",
  usersize: ({ slabs: { memory } }, cache) => {
    // Only what kmalloc gives may be copied to programs as a whole; no other cache says that it may.
    const isKmalloc = (memory.read(cache + KmemCache.flags) & SlabFlag.KMALLOC) !== 0;
    return String(isKmalloc ? memory.read(cache + KmemCache.objectSize) : 0);
  },
  validate: nothing,
};

/** Names of a cache's files. */
export function sysSlabFiles(): string[] {
  return Object.keys(FILES);
}

/** The text at `path`, which begins with "sys/kernel/slab". */
export function sysSlab(source: Source, path: string): string {
  const { slabs } = source;
  if (slabs.kind !== "slub") {
    throw new UsageError(`/${SYS_SLAB}: only SLUB has it, this machine's object allocator is ${slabs.kind}`);
  }
  const [name, file, ...rest] = path.slice(SYS_SLAB.length).split("/").filter(Boolean);
  const infos = slabs.infos();
  if (name === undefined) return infos.map((info) => `${info.name}\n`).join("");
  const found = infos.find((info) => info.name === name || slabs.merge.namesOf(info.cache).includes(name));
  if (found === undefined)
    throw new UsageError(
      noCache(
        name,
        infos.map((info) => info.name),
      ),
    );
  if (file === undefined) {
    const width = Math.max(...sysSlabFiles().map((key) => key.length)) + 1;
    return Object.entries(FILES)
      .map(([key, show]) => `${`${key}:`.padEnd(width)} ${show(source, found.cache)}`.trimEnd())
      .map((line) => `${line}\n`)
      .join("");
  }
  if (rest.length > 0 || !Object.hasOwn(FILES, file)) {
    const wrong = [file, ...rest].join("/");
    throw new UsageError(
      `/${SYS_SLAB}/${name}: there is no file "${wrong}"; valid are ${sysSlabFiles().join(", ")}`,
    );
  }
  const text = FILES[file](source, found.cache);
  return text === "" ? "" : `${text}\n`;
}

function noCache(name: string, names: readonly string[]): string {
  const valid =
    names.length === 0
      ? "; there are none until a program makes one (--after WORKLOAD runs one first)"
      : `${didYouMean(name, names)}; valid are ${names.join(", ")}`;
  return `/${SYS_SLAB}: there is no cache "${name}"${valid}`;
}

// ---- counts ----

function nodeCounts({ slabs }: Source, cache: CacheRef, count: (node: number) => number): number[] {
  const counts: number[] = [];
  for (const nid of slabs.nodes) counts[nid] = count(slabs.memory.read(cache + KmemCache.nodes + nid));
  return counts;
}

/** The sum, and the nodes that have part of it. */
function byNode({ topology }: Source, counts: readonly number[]): string {
  const all = Array.from({ length: topology.nodes }, (_, nid) => counts[nid] ?? 0);
  const parts = all.map((count, nid) => (count === 0 ? "" : ` N${nid}=${count}`));
  return `${all.reduce((sum, count) => sum + count, 0)}${parts.join("")}`;
}

/** Sum over a node's list.  @takes list_lock */
function onList({ slabs: { memory }, spin }: Source, node: number, count: (slab: PageRef) => number): number {
  const head = node + KmemCacheNode.partial;
  let sum = 0;
  const irqs = spin.lockIrqSave(node + KmemCacheNode.listLock);
  for (let link = memory.read(head); link !== head; link = memory.read(link)) sum += count(link - PAGE_LINKS);
  spin.unlockIrqRestore(node + KmemCacheNode.listLock, irqs);
  return sum;
}

const objectsOf = ({ slabs: { memory } }: Source, slab: PageRef): number =>
  memory.read(slab + SlabPage.objects);
const inuse = ({ slabs: { memory } }: Source, slab: PageRef): number =>
  inuseOf(memory.load(slab + SlabPage.counters));

const cpuPart = ({ slabs: { memory }, perCpu }: Source, cache: CacheRef, cpu: number): number =>
  perCpu.of(memory.read(cache + KmemCache.cpuSlab), cpu);

/** Slabs that CPUs have, by node: the one that a CPU allocates from, and its partial ones, by their first. */
function cpuSlabs(source: Source, cache: CacheRef): number[] {
  const { slabs, pages } = source;
  const counts = new Array<number>(source.topology.nodes).fill(0);
  for (let cpu = 0; cpu < slabs.possibleCpus; cpu++) {
    const own = cpuPart(source, cache, cpu);
    const slab = slabs.memory.read(own + KmemCacheCpu.slab);
    if (slab !== 0) counts[pages.frames.nodeOf(slab)]++;
    const partial = slabs.memory.read(own + KmemCacheCpu.partial);
    if (partial !== 0) counts[pages.frames.nodeOf(partial)] += slabs.memory.read(partial + SlabPage.slabs);
  }
  return counts;
}

/** Free objects are a guess: half of each slab.  Linux: slabs_cpu_partial_show. */
function slabsCpuPartial(source: Source, cache: CacheRef): string {
  const { slabs } = source;
  const perSlab = slabs.memory.read(cache + KmemCache.objects);
  const text = (count: number): string => `${Math.floor((count * perSlab) / 2)}(${count})`;
  const counts = Array.from({ length: slabs.possibleCpus }, (_, cpu) => {
    const partial = slabs.memory.read(cpuPart(source, cache, cpu) + KmemCacheCpu.partial);
    return partial === 0 ? 0 : slabs.memory.read(partial + SlabPage.slabs);
  });
  const parts = counts.map((count, cpu) => (count === 0 ? "" : ` C${cpu}=${text(count)}`));
  return text(counts.reduce((sum, count) => sum + count, 0)) + parts.join("");
}
