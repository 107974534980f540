/**
 * The leak scan: which objects are given out that nothing refers to.
 *
 * Roots are the kernel image and the CPUs' static variables, of which the fields declared as pointers are followed; the
 * per-CPU pieces that are given out, word by word; and what the program has registered (`kernel.regions.add`).  From a
 * root the scan goes through objects of slabs, blocks of kmalloc and blocks of pages.  Of an object whose cache names a
 * struct the declared pointers are followed; any other is looked at word by word, as kmemleak does: a number that looks
 * like an address then keeps an object that has leaked.
 *
 * A reference may point anywhere into an object.  Runs at rest; changes nothing.
 *
 * Linux: mm/kmemleak.c scan_block, kmemleak_scan.  Differs: what is given out is known from the allocator itself, so
 * nothing is missed and nothing has to be told; all is at rest, so one pass is enough and there are no checksums.
 */

import type { Memory } from "../../memory/memory.ts";
import type { Region, Regions } from "../../memory/regions.ts";
import type { Layout } from "../../memory/struct.ts";
import { FRAME_WORDS, frameOf, type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { Frames } from "../pages/frames.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";
import { PAGE_WORDS, Page, type PageRef, PageType, pageTypeAt } from "../pages/page.ts";
import { TailPage } from "../pages/page-overlays.ts";
import { PcpuChunk } from "../percpu/pcpu-chunk.ts";
import type { PerCpuAllocator } from "../percpu/percpu-allocator.ts";
import type { CacheRef } from "../slab/kmem-cache.ts";
import type { SlabPages } from "../slab/slab-pages.ts";
import { pointerFields } from "./pointer-fields.ts";
import { SlubObjects } from "./slub-objects.ts";

export interface LeakScanParts {
  readonly memory: Memory;
  readonly frames: Frames;
  readonly slabs: SlabPages;
  readonly perCpu: PerCpu;
  readonly perCpuChunks: PerCpuAllocator;
  readonly possibleCpus: number;
  readonly regions: Regions;
  /** The struct of a cache's objects; null: not declared. */
  readonly layoutOf: (cache: CacheRef) => Layout | null;
}

/** An object or block that nothing refers to. */
export interface Unreferenced {
  readonly start: Pointer;
  readonly words: number;
  /** 0: a large block of kmalloc. */
  readonly cache: CacheRef;
}

/** A range of words that is scanned once. */
interface Item {
  readonly start: Pointer;
  readonly words: number;
  readonly layout: Layout | null;
}

/** Regions that are no roots: what is in them is reached otherwise, or refers to everything. */
const NO_ROOTS = new Set(["mem_map", "pageblock", "pcpu_chunks"]);
const isDynamic = (name: string): boolean => /^pcpu_(reserved|dynamic)@/.test(name);

export class LeakScan {
  private readonly parts: LeakScanParts;
  private readonly memory: Memory;
  private readonly objects: SlubObjects;
  private readonly memMap: Pointer;
  private readonly maxPfn: Pfn;
  /** Starts of what was reached. */
  private readonly reached = new Set<Pointer>();
  private readonly waiting: Item[] = [];

  constructor(parts: LeakScanParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.objects = new SlubObjects(parts.slabs, parts.perCpu, parts.possibleCpus);
    this.memMap = parts.frames.memMap;
    this.maxPfn = parts.frames.maxPfn;
  }

  /** Follows all references; what is left over, by address. */
  run(): Unreferenced[] {
    const { regions } = this.parts;
    for (const region of regions.ofKernel)
      if (!NO_ROOTS.has(region.name) && !isDynamic(region.name)) this.scanRegion(region, false);
    for (const region of regions.ofProgram) this.scanRegion(region, true);
    this.scanPieces();
    for (let item = this.waiting.pop(); item !== undefined; item = this.waiting.pop()) this.scan(item);
    return this.unreached();
  }

  /** A program's region is also a reference to the object that it lies in. */
  private scanRegion({ start, stride, count, layout }: Region, isProgram: boolean): void {
    if (isProgram) this.refer(start);
    // A struct of plain words says nothing: a program's are looked at one by one.
    const isTyped = !isProgram || pointerFields(layout).length > 0;
    if (!isTyped) this.scan({ start, words: stride * count, layout: null });
    else for (let i = 0; i < count; i++) this.scan({ start: start + i * stride, words: stride, layout });
  }

  /** Every CPU's instance of every per-CPU piece. */
  private scanPieces(): void {
    const { memory } = this;
    const { perCpuChunks: chunks, perCpu, possibleCpus } = this.parts;
    for (const chunk of chunks.allChunks()) {
      const used = chunks.area.allocMap(chunk);
      const base = memory.read(chunk + PcpuChunk.base);
      const end = used.bits - memory.read(chunk + PcpuChunk.endOffset);
      for (let at = used.nextSet(memory.read(chunk + PcpuChunk.startOffset)); at < end; ) {
        const next = Math.min(end, used.nextClear(at));
        for (let cpu = 0; cpu < possibleCpus; cpu++)
          this.scan({ start: perCpu.of(base + at, cpu), words: next - at, layout: null });
        at = used.nextSet(next);
      }
    }
  }

  private scan({ start, words, layout }: Item): void {
    const { memory } = this;
    if (layout === null) {
      for (let at = start; at < start + words; at++) this.refer(memory.read(at));
      return;
    }
    const overlay =
      layout.tagAt === null
        ? undefined
        : layout.overlays.get(layout.tagAt((address) => memory.read(address), start));
    for (const { offset, words: count, isPfn } of [
      ...pointerFields(layout),
      ...(overlay === undefined ? [] : pointerFields(overlay)),
    ])
      for (let i = 0; i < count; i++) {
        const value = memory.read(start + offset + i);
        this.refer(isPfn ? frameOf(value) : value);
      }
  }

  /** Marks what `address` lies in, and scans it later. */
  private refer(address: Pointer): void {
    if (address <= 0 || address !== Math.floor(address)) return;
    const inMap = address - this.memMap;
    if (inMap >= 0 && inMap < this.maxPfn * PAGE_WORDS) {
      // A page's structure stands for its block; a slab's for no object of it.
      const page = this.memMap + Math.floor(inMap / PAGE_WORDS) * PAGE_WORDS;
      const { head } = this.blockOf(page);
      if (head !== 0 && this.typeOf(head) !== PageType.SLAB)
        this.referTo(frameOf(this.parts.frames.pfnOf(head)));
      return;
    }
    if (pfnOf(address) < this.maxPfn) this.referTo(address);
  }

  private referTo(address: Pointer): void {
    const { frames, layoutOf } = this.parts;
    const { head, order } = this.blockOf(frames.pageOf(pfnOf(address)));
    if (head === 0) return;
    const type = this.typeOf(head);
    if (type === PageType.SLAB) {
      const object = this.objects.at(head, address);
      if (object !== null) this.reach({ ...object, layout: layoutOf(object.cache) });
    } else if (type === PageType.ALLOCATED || type === PageType.LARGE_KMALLOC)
      this.reach({ start: frameOf(frames.pfnOf(head)), words: FRAME_WORDS << order, layout: null });
  }

  private reach(item: Item): void {
    if (this.reached.has(item.start)) return;
    this.reached.add(item.start);
    this.waiting.push(item);
  }

  /** The allocated block that a page is in; head 0 when it is in none. */
  private blockOf(page: PageRef): { readonly head: PageRef; readonly order: number } {
    const { memory } = this;
    const none = { head: 0, order: 0 };
    const type = this.typeOf(page);
    if (type === PageType.TAIL) return this.headed(memory.read(page + TailPage.head));
    if (type !== PageType.NONE) return this.headed(page);
    // Inside a block that is not compound: its head is where a larger block may begin.
    const pfn = this.parts.frames.pfnOf(page);
    for (let order = 1; order <= MAX_ORDER; order++) {
      const head = this.parts.frames.pageOf(pfn & -(1 << order));
      const block = this.headed(head);
      if (block.head !== 0 && block.order >= order) return block;
    }
    return none;
  }

  private headed(head: PageRef): { readonly head: PageRef; readonly order: number } {
    const { memory } = this;
    const type = this.typeOf(head);
    if (
      type === PageType.NONE ||
      type === PageType.BUDDY ||
      type === PageType.PCP ||
      type === PageType.RESERVED
    )
      return { head: 0, order: 0 };
    const order = memory.read(head + Page.type) >>> 8;
    const next = head + PAGE_WORDS;
    const isCompound = this.typeOf(next) === PageType.TAIL && memory.read(next + TailPage.head) === head;
    return { head, order: isCompound ? memory.read(next + TailPage.order) : order };
  }

  private typeOf(page: PageRef): number {
    return pageTypeAt((address) => this.memory.read(address), page);
  }

  private unreached(): Unreferenced[] {
    const { frames } = this.parts;
    const found: Unreferenced[] = [];
    for (let pfn = 1; pfn < this.maxPfn; pfn++) {
      const page = frames.pageOf(pfn);
      const type = this.typeOf(page);
      if (type === PageType.SLAB) {
        for (const object of this.objects.all(page)) if (!this.reached.has(object.start)) found.push(object);
      } else if (type === PageType.LARGE_KMALLOC && !this.reached.has(frameOf(pfn)))
        found.push({ start: frameOf(pfn), words: FRAME_WORDS << this.headed(page).order, cache: 0 });
    }
    return found;
  }
}
