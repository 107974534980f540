/** One grammar for /proc/slabinfo and for the files of /sys/kernel/slab/NAME: it reads the host's and ours alike. */

import type { SlabInfo } from "../../src/mm/slab/object-allocator.ts";

export interface SlabinfoRow {
  readonly name: string;
  readonly objectBytes: number;
  readonly info: SlabInfo;
}

const HEAD = [
  /^slabinfo - version: 2\.1$/,
  /^# name {12}<active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>$/,
];
const LINE =
  /^(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) : tunables +(\d+) +(\d+) +(\d+) : slabdata +(\d+) +(\d+) +(\d+)$/;

export function parseSlabinfo(text: string): SlabinfoRow[] {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const [first, second, ...lines] = text.slice(0, -1).split("\n");
  if (!HEAD[0].test(first) || !HEAD[1].test(second)) throw new Error(`the head is ${first}\n${second}`);
  return lines.map((line) => {
    const found = LINE.exec(line);
    if (found === null) throw new Error(`no line of slabinfo: ${JSON.stringify(line)}`);
    const [
      active,
      objects,
      objectBytes,
      perSlab,
      pages,
      limit,
      batch,
      shared,
      activeSlabs,
      slabs,
      available,
    ] = found.slice(2).map(Number);
    if (!Number.isInteger(Math.log2(pages))) throw new Error(`${found[1]}: ${pages} pages a slab`);
    const info: SlabInfo = {
      activeObjects: active,
      objects,
      activeSlabs,
      slabs,
      sharedAvailable: available,
      limit,
      batchCount: batch,
      shared,
      objectsPerSlab: perSlab,
      order: Math.log2(pages),
    };
    return { name: found[1], objectBytes, info };
  });
}

const NUMBER = /^\d+\n$/;
const SWITCH = /^[01]\n$/;
const BY_NODE = /^\d+(?: N\d+=[1-9]\d*)*\n$/;
const SLAB_FILES: Readonly<Record<string, RegExp>> = {
  aliases: NUMBER,
  align: NUMBER,
  cache_dma: SWITCH,
  cpu_partial: NUMBER,
  cpu_slabs: BY_NODE,
  // A symbol, or one whose address is kept from us.
  ctor: /^(?:\S+.*\n)?$/,
  destroy_by_rcu: SWITCH,
  hwcache_align: SWITCH,
  min_partial: NUMBER,
  object_size: NUMBER,
  objects: BY_NODE,
  objects_partial: BY_NODE,
  objs_per_slab: NUMBER,
  order: NUMBER,
  partial: BY_NODE,
  poison: SWITCH,
  reclaim_account: SWITCH,
  red_zone: SWITCH,
  remote_node_defrag_ratio: NUMBER,
  sanity_checks: SWITCH,
  shrink: /^$/,
  slab_size: NUMBER,
  slabs: BY_NODE,
  slabs_cpu_partial: /^\d+\(\d+\)(?: C\d+=\d+\([1-9]\d*\))*\n$/,
  store_user: SWITCH,
  total_objects: BY_NODE,
  trace: SWITCH,
  usersize: NUMBER,
  validate: /^$/,
};

/** Fails unless `text` is what file `name` may hold; its first number and the parts behind it add up. */
export function checkSlabFile(name: string, text: string): void {
  const form = SLAB_FILES[name];
  if (form === undefined) throw new Error(`no file of /sys/kernel/slab/NAME: ${name}`);
  if (!form.test(text)) throw new Error(`${name} holds ${JSON.stringify(text)}, which is not ${form}`);
  const parts = [...text.matchAll(/ [NC]\d+=(\d+)/g)].map(([, count]) => Number(count));
  const total = Number.parseInt(text, 10);
  if (form === BY_NODE && parts.reduce((sum, count) => sum + count, 0) !== total)
    throw new Error(`${name}: ${text} does not add up`);
}

export const slabFileNames = (): string[] => Object.keys(SLAB_FILES);
