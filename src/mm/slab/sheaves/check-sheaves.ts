/** Checks of sheaves at rest: B1 to B3 of barn.ts, and that what lies in sheaves is free objects, each once. */

import { bug } from "../../../memory/bug.ts";
import type { Memory } from "../../../memory/memory.ts";
import type { Pointer } from "../../../memory/units.ts";
import type { PerCpu } from "../../../sync/percpu.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheNode, SlabGlobals } from "../kmem-cache.ts";
import type { CacheCount } from "../object-allocator.ts";
import type { SlabPages } from "../slab-pages.ts";
import { Barn, CpuSheaves, MAX_EMPTY_SHEAVES, MAX_FULL_SHEAVES, Sheaf, type SheafRef } from "./structures.ts";

interface SheafView {
  readonly slabs: SlabPages;
  readonly perCpu: PerCpu;
  readonly possibleCpus: number;
  readonly nodes: readonly number[];
  readonly globals: Pointer;
}

/** `counts` as the slabs have them, less the objects that lie in sheaves: those are not given out. */
export function checkSheaves(view: SheafView, counts: readonly CacheCount[]): CacheCount[] {
  const { memory } = view.slabs;
  let structures = 0;
  let prefilled = 0;
  const found = counts.map((count) => {
    if (memory.read(count.cache + KmemCache.cpuSheaves) === 0) return count;
    const check = new CacheSheaves(view, count);
    check.cpus();
    check.barns();
    structures += check.sheaves.size + view.nodes.length;
    prefilled += check.prefilled;
    return { ...count, active: count.active - check.objects.size };
  });
  const cache = memory.read(view.globals + SlabGlobals.sheafCache);
  const active = found.find((count) => count.cache === cache)?.active ?? 0;
  if (active !== structures + prefilled)
    bug(
      `B3 ${active} sheaves and barns are in use; caches have ${structures}, callers ${prefilled} prefilled ones`,
    );
  return found;
}

/** The sheaves of one cache. */
class CacheSheaves {
  readonly sheaves = new Set<SheafRef>();
  readonly objects = new Set<Pointer>();
  prefilled = 0;
  private readonly view: SheafView;
  private readonly memory: Memory;
  private readonly cache: CacheRef;
  private readonly name: string;

  constructor(view: SheafView, { cache, name }: CacheCount) {
    this.view = view;
    this.memory = view.slabs.memory;
    this.cache = cache;
    this.name = `cache ${name}`;
  }

  cpus(): void {
    const { memory, view } = this;
    const at = memory.read(this.cache + KmemCache.cpuSheaves);
    for (let cpu = 0; cpu < view.possibleCpus; cpu++) {
      const own = view.perCpu.of(at, cpu);
      const main = memory.read(own + CpuSheaves.main);
      if (main === 0) bug(`B3 ${this.name} cpu ${cpu}: it has no main sheaf`);
      this.look(main, `cpu ${cpu} main`);
      const spare = memory.read(own + CpuSheaves.spare);
      if (spare !== 0) this.look(spare, `cpu ${cpu} spare`);
    }
  }

  barns(): void {
    const { memory, view } = this;
    for (const nid of view.nodes) {
      const barn = memory.read(memory.read(this.cache + KmemCache.nodes + nid) + KmemCacheNode.barn);
      this.list(
        `node ${nid} full`,
        barn + Barn.full,
        memory.read(barn + Barn.nrFull),
        MAX_FULL_SHEAVES,
        true,
      );
      const nrEmpty = memory.read(barn + Barn.nrEmpty);
      this.list(`node ${nid} empty`, barn + Barn.empty, nrEmpty, MAX_EMPTY_SHEAVES, false);
      this.prefilled += memory.load(barn + Barn.nrPrefilled);
    }
  }

  private list(where: string, head: Pointer, said: number, most: number, isFull: boolean): void {
    const { memory, name } = this;
    let length = 0;
    for (let sheaf = memory.read(head); sheaf !== 0; sheaf = memory.read(sheaf + Sheaf.next)) {
      if (++length > said) bug(`B1 ${name} ${where}: the list is longer than ${said}`);
      this.look(sheaf, where);
      const size = memory.read(sheaf + Sheaf.size);
      const wanted = isFull ? memory.read(sheaf + Sheaf.capacity) : 0;
      if (size !== wanted)
        bug(`B2 ${name} ${where}: the sheaf at word ${sheaf} has ${size} objects, not ${wanted}`);
    }
    if (length !== said || said > most)
      bug(`B1 ${name} ${where}: ${length} sheaves, it says ${said}, at most ${most}`);
  }

  private look(sheaf: SheafRef, where: string): void {
    const { memory, name, view } = this;
    if (this.sheaves.has(sheaf)) bug(`B3 ${name} ${where}: the sheaf at word ${sheaf} is elsewhere, too`);
    this.sheaves.add(sheaf);
    const size = memory.read(sheaf + Sheaf.size);
    const capacity = memory.read(sheaf + Sheaf.capacity);
    if (size < 0 || size > capacity)
      bug(`B2 ${name} ${where}: ${size} objects in a sheaf for ${capacity} at word ${sheaf}`);
    for (let i = 0; i < size; i++) {
      const object = memory.read(sheaf + Sheaf.objects + i);
      const slab = view.slabs.slabAt(object);
      if (slab === 0 || memory.read(slab + SlabPage.cache) !== this.cache)
        bug(`U1 ${name} ${where}: word ${object} is none of its objects`);
      if (this.objects.has(object)) bug(`U2 ${name} ${where}: the object at word ${object} is free twice`);
      this.objects.add(object);
    }
  }
}
