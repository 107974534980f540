/**
 * Chunks that come and go, and the pages behind them.
 *
 * Invariants, at rest
 *   P1  a page of a chunk has a frame for each unit exactly while its bit of `populated` is set
 *   P2  that frame is of type PERCPU and names the chunk
 *   P3  a page that is not populated is all zero: nobody has written where nothing is
 *
 * All of it runs under pcpu_alloc_mutex; what others look at changes under pcpu_lock, too.
 *
 * Linux: mm/percpu-vm.c; mm/percpu.c pcpu_alloc_chunk, pcpu_free_chunk, pcpu_chunk_populated, pcpu_chunk_depopulated.
 * Differs: one block of pages holds everything about a chunk; a page that goes is cleared in place of being unmapped,
 * and no translation has to be flushed.
 */

import { Bitmap } from "../../memory/bitmap.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { FRAME_WORDS, PAGE_BYTES, type Pfn, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { GfpFlag } from "../pages/gfp.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";
import { PageType, pageRef } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { AllocatedPage } from "../pages/page-overlays.ts";
import type { ChunkArea } from "./chunk-area.ts";
import type { ChunkLists } from "./chunk-lists.ts";
import {
  allocMapWords,
  BLOCK_WORDS,
  boundMapWords,
  type ChunkRef,
  PcpuChunk,
  populatedWords,
} from "./pcpu-chunk.ts";
import { mapWords, PcpuState } from "./percpu-state.ts";
import type { PerCpuWindow } from "./percpu-window.ts";

const state = PcpuState;
const chunkField = PcpuChunk;
const CHUNK_WORDS = wordsIn(PcpuChunk);

export interface ChunkPagesParts {
  readonly pages: PageAllocator;
  readonly memory: Memory;
  /** The `pcpu_state`. */
  readonly base: Pointer;
  readonly window: PerCpuWindow;
  readonly area: ChunkArea;
  readonly lists: ChunkLists;
  readonly unitPages: number;
  readonly strideWords: number;
  /** Node of each unit. */
  readonly nodes: readonly number[];
}

export class ChunkPages {
  private readonly parts: ChunkPagesParts;
  private readonly memory: Memory;
  /** Order of the block that holds a chunk's records. */
  private readonly order: number;

  constructor(parts: ChunkPagesParts) {
    this.parts = parts;
    this.memory = parts.memory;
    const words = CHUNK_WORDS + mapWords(parts.unitPages) + parts.nodes.length * parts.unitPages;
    this.order = Math.max(0, Math.ceil(Math.log2((words * WORD_BYTES) / PAGE_BYTES)));
  }

  /** A chunk without a page, on no list; 0 when there is no memory or no addresses.  Linux: pcpu_create_chunk. */
  create(gfp: number): ChunkRef {
    const { memory, parts } = this;
    const area = this.freeArea();
    if (area < 0 || this.order > MAX_ORDER) return 0;
    const chunk = parts.pages.getFreePages(gfp | GfpFlag.ZERO, this.order);
    if (chunk === 0) return 0;
    this.setMaps(chunk, chunk + CHUNK_WORDS, parts.unitPages);
    memory.write(
      chunk + chunkField.frames,
      memory.read(chunk + chunkField.blocks) + parts.unitPages * BLOCK_WORDS,
    );
    memory.write(chunk + chunkField.base, parts.window.baseOf(area));
    memory.write(chunk + chunkField.area, area);
    parts.area.init(chunk);
    memory.write(parts.base + state.areas + area, chunk);
    return chunk;
  }

  /** Frees a chunk on no list, with no page populated.  Linux: pcpu_destroy_chunk. */
  destroy(chunk: ChunkRef): void {
    const { memory, parts } = this;
    memory.write(parts.base + state.areas + memory.read(chunk + chunkField.area), 0);
    parts.pages.freePagesAt(chunk, this.order);
  }

  /** Divides `words` from `at` on, all zero, among the maps of a chunk of `pages`. */
  setMaps(chunk: ChunkRef, at: Pointer, pages: number): void {
    const { memory } = this;
    const allocMap = at + populatedWords(pages);
    const boundMap = allocMap + allocMapWords(pages);
    memory.write(chunk + chunkField.pages, pages);
    memory.write(chunk + chunkField.populated, at);
    memory.write(chunk + chunkField.allocMap, allocMap);
    memory.write(chunk + chunkField.boundMap, boundMap);
    memory.write(chunk + chunkField.blocks, boundMap + boundMapWords(pages));
  }

  /** Gives pages [from, to) of every unit a frame of its CPU's node: all, or none.  Linux: pcpu_populate_chunk. */
  populate(chunk: ChunkRef, from: number, to: number, gfp: number): boolean {
    const { memory, parts } = this;
    const { pages, nodes } = parts;
    for (let unit = 0; unit < nodes.length; unit++) {
      for (let page = from; page < to; page++) {
        const pfn = pages.allocPagesNode(nodes[unit], gfp | GfpFlag.HIGHMEM, 0);
        if (pfn === 0) {
          this.dropFrames(chunk, from, to);
          return false;
        }
        pages.setPageType(pfn, PageType.PERCPU);
        memory.write(this.pageOf(pfn) + AllocatedPage.private, chunk);
        memory.write(this.frameSlot(chunk, unit, page), pfn);
      }
    }
    return true;
  }

  /** The opposite: nothing of the pages is handed out, and nobody finds them.  Linux: pcpu_depopulate_chunk. */
  depopulate(chunk: ChunkRef, from: number, to: number): void {
    const { memory, parts } = this;
    const start = memory.read(chunk + chunkField.base) + from * FRAME_WORDS;
    for (let unit = 0; unit < parts.nodes.length; unit++)
      memory.fill(start + unit * parts.strideWords, (to - from) * FRAME_WORDS, 0);
    this.dropFrames(chunk, from, to);
  }

  /** @holds pcpu_lock */
  markPopulated(chunk: ChunkRef, from: number, to: number): void {
    this.populatedMap(chunk).setRange(from, to - from);
    this.count(chunk, to - from);
  }

  /** @holds pcpu_lock */
  markDepopulated(chunk: ChunkRef, from: number, to: number): void {
    this.populatedMap(chunk).clearRange(from, to - from);
    this.count(chunk, from - to);
  }

  populatedMap(chunk: ChunkRef): Bitmap {
    const { memory } = this;
    return new Bitmap(
      memory,
      memory.read(chunk + chunkField.populated),
      memory.read(chunk + chunkField.pages),
    );
  }

  /** The frame behind page `page` of `unit`; 0 none.  For the check. */
  frameOf(chunk: ChunkRef, unit: number, page: number): Pfn {
    return this.memory.read(this.frameSlot(chunk, unit, page));
  }

  pageOf(pfn: Pfn): Pointer {
    return pageRef(this.parts.pages.frames.memMap, pfn);
  }

  private dropFrames(chunk: ChunkRef, from: number, to: number): void {
    const { memory, parts } = this;
    for (let unit = 0; unit < parts.nodes.length; unit++) {
      for (let page = from; page < to; page++) {
        const at = this.frameSlot(chunk, unit, page);
        const pfn = memory.read(at);
        if (pfn === 0) continue;
        memory.write(at, 0);
        memory.write(this.pageOf(pfn) + AllocatedPage.private, 0);
        parts.pages.setPageType(pfn, PageType.ALLOCATED);
        parts.pages.freePage(pfn);
      }
    }
  }

  private frameSlot(chunk: ChunkRef, unit: number, page: number): Pointer {
    return this.memory.read(chunk + chunkField.frames) + unit * this.parts.unitPages + page;
  }

  private count(chunk: ChunkRef, pages: number): void {
    const { memory, parts } = this;
    for (const at of [chunk + chunkField.nrPopulated, parts.base + state.nrPopulated])
      memory.write(at, memory.read(at) + pages);
    parts.lists.changeEmpty(chunk, pages);
  }

  private freeArea(): number {
    const { window, base } = this.parts;
    for (let area = 0; area < window.areas; area++)
      if (this.memory.read(base + state.areas + area) === 0) return area;
    return -1;
  }
}
