/**
 * DMA pools: small blocks that a device can be told the address of, cut from pages that it can reach.
 *
 * A block is known by its pointer and by its DMA address, which is its physical address.  Pages of `allocation` bytes are cut
 * into blocks that never cross a multiple of `boundary`; free blocks are linked through themselves, over all pages.
 * Pages stay until the pool ends.
 *
 * Invariants, while pool.lock is free
 *   D1  the free list holds nrBlocks - nrActive different blocks, each at a place where its page was cut
 *   D2  pool.pages links nrPages pages, which were cut into nrBlocks blocks
 *
 * Linux: mm/dmapool.c; kernel/dma/direct.c dma_direct_optimal_gfp_mask.  Differs: a device is no more than the number of
 * address bits that it has; blocks lie on multiples of 8 bytes at least, where Linux takes any alignment.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Topology } from "../../hardware/topology.ts";
import { bug } from "../../memory/bug.ts";
import { checkedListLength, listAdd, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import { array, embed, float64, struct, word, wordsIn } from "../../memory/struct.ts";
import {
  alignUp,
  frameOf,
  PAGE_BYTES,
  type Pointer,
  pfnOf,
  physOf,
  pointerOf,
  WORD_BYTES,
} from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import type { Kmalloc } from "./kmalloc.ts";
import { kmallocOrder } from "./kmalloc-index.ts";

/** Word index of a struct dma_pool. */
export type DmaPoolRef = Pointer;

export const DmaPool = struct("dma_pool", {
  lock: embed(SpinLock, "atomic"),
  /** First free block. */
  nextBlock: word("lock:pool.lock", "pointer:dma_block"),
  nrBlocks: word("lock:pool.lock", "counter"),
  /** Blocks that are given out. */
  nrActive: word("lock:pool.lock", "counter"),
  nrPages: word("lock:pool.lock", "counter"),
  /** List head of DmaPage. */
  pages: array(2, "lock:pool.lock", "pointer:list_head"),
  /** Bytes, all three. */
  size: word("holder"),
  allocation: word("holder"),
  boundary: word("holder"),
  /** Address bits of the device. */
  maskBits: word("holder"),
});

const DmaPage = struct("dma_page", {
  links: array(2, "lock:pool.lock", "pointer:list_head"),
  start: word("holder", "pointer:frame"),
  pad: word("boot"),
});

/** The beginning of a free block; of one that is given out all is its user's. */
const DmaBlock = struct("dma_block", {
  next: word("lock:pool.lock", "pointer:dma_block"),
  pad: word("boot"),
  dma: float64("lock:pool.lock"),
});

const field = DmaPool;
const pageField = DmaPage;
const blockField = DmaBlock;
const { DMA, DMA32, ZERO } = GfpFlag;
const LEAST_ALIGN = 8;
const checks = shape.checks;
/** Blocks are put back without the pool's lock. */
const freesUnlocked = mutant("dma-pool-free-unlocked");

export interface DmaPoolOptions {
  readonly name: string;
  readonly bytes: number;
  /** A power of two; default 1, which means 8 here. */
  readonly alignBytes?: number;
  /** A power of two of at least `bytes` that no block crosses; 0, the default: none. */
  readonly boundaryBytes?: number;
  /** Address bits of the device, 24 to 64; default 32. */
  readonly maskBits?: number;
}

/** A block as its CPU and as its device know it. */
export interface DmaBlockAddress {
  readonly at: Pointer;
  /** Physical address in bytes. */
  readonly dma: number;
}

export interface DmaPoolParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly heap: Kmalloc;
  readonly pages: PageAllocator;
  readonly topology: Topology;
  readonly report: (text: string) => void;
}

export class DmaPools {
  declare private readonly memory: Memory;
  declare private readonly parts: DmaPoolParts;

  constructor(parts: DmaPoolParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
  }

  /** A pool of such blocks, without any yet; 0 when there is no memory.  Linux: dma_pool_create.  @may-sleep */
  create(options: DmaPoolOptions): DmaPoolRef {
    const sizes = poolSizes(options);
    const { memory } = this;
    const pool = this.parts.heap.kzalloc(wordsIn(DmaPool) * WORD_BYTES, Gfp.KERNEL);
    if (pool === 0) return 0;
    this.parts.locks.format(pool + field.lock, LockClass.DMA_POOL);
    listInit(memory, pool + field.pages);
    memory.write(pool + field.size, sizes.bytes);
    memory.write(pool + field.allocation, sizes.allocation);
    memory.write(pool + field.boundary, sizes.boundary);
    memory.write(pool + field.maskBits, options.maskBits ?? 32);
    return pool;
  }

  /**
   * A block, or null when there is no memory.  Linux: dma_pool_alloc.
   * @takes pool.lock   @may-sleep with __GFP_DIRECT_RECLAIM
   */
  alloc(pool: DmaPoolRef, gfp: number): DmaBlockAddress | null {
    const { memory, parts } = this;
    if ((gfp & GfpFlag.DIRECT_RECLAIM) !== 0) parts.cpu.mightSleep("dma_pool_alloc");
    let irqs = this.lock(pool);
    let block = this.pop(pool);
    if (block === 0) {
      // A new page may have to be waited for.
      this.unlock(pool, irqs);
      const page = this.takePage(pool, gfp & ~ZERO);
      if (page === 0) return null;
      irqs = this.lock(pool);
      this.cutPage(pool, page);
      block = this.pop(pool);
    }
    const dma = memory.readFloat64(block + blockField.dma);
    this.unlock(pool, irqs);
    if ((gfp & ZERO) !== 0) memory.fill(block, memory.read(pool + field.size) / WORD_BYTES, 0);
    return { at: block, dma };
  }

  /** Linux: dma_pool_free.  @takes pool.lock */
  free(pool: DmaPoolRef, { at, dma }: DmaBlockAddress): void {
    const { memory } = this;
    if (dma !== physOf(at)) bug(`dma_pool_free: word ${at} has not the DMA address 0x${dma.toString(16)}`);
    reached("dma-pool-free-unlocked");
    const irqs = freesUnlocked ? 0 : this.lock(pool);
    if (checks) this.checkFree(pool, at);
    memory.write(at + blockField.next, memory.read(pool + field.nextBlock));
    memory.writeFloat64(at + blockField.dma, dma);
    memory.write(pool + field.nextBlock, at);
    memory.write(pool + field.nrActive, memory.read(pool + field.nrActive) - 1);
    if (!freesUnlocked) this.unlock(pool, irqs);
  }

  /** The pages of a pool with blocks in use are not given back, and the log says so.  Linux: dma_pool_destroy. */
  destroy(pool: DmaPoolRef): void {
    const { memory, parts } = this;
    const active = memory.read(pool + field.nrActive);
    if (active > 0)
      parts.report(`dma_pool_destroy: pool at word ${pool} is busy: ${active} blocks are in use`);
    const order = kmallocOrder(memory.read(pool + field.allocation));
    for (const page of this.pagesOf(pool)) {
      if (active === 0) parts.pages.freePagesAt(memory.read(page + pageField.start), order);
      parts.heap.kfree(page);
    }
    parts.heap.kfree(pool);
  }

  /** D1 and D2, at rest; the blocks in use. */
  check(pool: DmaPoolRef): number {
    const { memory } = this;
    const name = `DMA pool at word ${pool}`;
    const nrBlocks = memory.read(pool + field.nrBlocks);
    const nrActive = memory.read(pool + field.nrActive);
    const nrPages = memory.read(pool + field.nrPages);
    const length = checkedListLength(memory, pool + field.pages, `D2 ${name}`, nrPages);
    const places = new Set(this.pagesOf(pool).flatMap((page) => this.placesOf(pool, page)));
    if (length !== nrPages || places.size !== nrBlocks)
      bug(`D2 ${name}: ${length} pages with ${places.size} blocks, it says ${nrPages} with ${nrBlocks}`);
    const free = new Set<Pointer>();
    for (let at = memory.read(pool + field.nextBlock); at !== 0; at = memory.read(at + blockField.next)) {
      if (!places.has(at)) bug(`D1 ${name}: free block at word ${at} is none of its blocks`);
      if (free.has(at)) bug(`D1 ${name}: block at word ${at} is free twice`);
      free.add(at);
    }
    if (free.size !== nrBlocks - nrActive)
      bug(`D1 ${name}: ${free.size} blocks are free, ${nrBlocks} less ${nrActive} should be`);
    return nrActive;
  }

  // ---- the rest ----

  /** Linux: pool_block_pop.  @holds pool.lock */
  private pop(pool: DmaPoolRef): Pointer {
    const { memory } = this;
    const block = memory.read(pool + field.nextBlock);
    if (block === 0) return 0;
    memory.write(pool + field.nextBlock, memory.read(block + blockField.next));
    memory.write(pool + field.nrActive, memory.read(pool + field.nrActive) + 1);
    return block;
  }

  /** A page that the device can reach, with its record; 0 when there is none.  Linux: pool_alloc_page. */
  private takePage(pool: DmaPoolRef, gfp: number): Pointer {
    const { memory } = this;
    const { heap, pages, topology } = this.parts;
    const { dmaBytes, dma32Bytes } = topology.zones;
    const bits = memory.read(pool + field.maskBits);
    const bytes = memory.read(pool + field.allocation);
    const page = heap.kmalloc(wordsIn(DmaPage) * WORD_BYTES, gfp);
    if (page === 0) return 0;
    let zone = 0;
    if (bits <= 24 && dmaBytes > 0) zone = DMA;
    else if (bits <= 32 && dma32Bytes > dmaBytes) zone = DMA32;
    const order = kmallocOrder(bytes);
    const start = pages.getFreePages(gfp | zone, order);
    const isReached = start !== 0 && physOf(start) + bytes <= 2 ** bits;
    memory.write(page + pageField.start, start);
    if (isReached) return page;
    pages.freePagesAt(start, order);
    heap.kfree(page);
    return 0;
  }

  /** Linux: pool_initialise_page.  @holds pool.lock */
  private cutPage(pool: DmaPoolRef, page: Pointer): void {
    const { memory } = this;
    const blocks = this.placesOf(pool, page);
    for (const [i, block] of blocks.entries()) {
      const next = i + 1 < blocks.length ? blocks[i + 1] : memory.read(pool + field.nextBlock);
      memory.write(block + blockField.next, next);
      memory.writeFloat64(block + blockField.dma, physOf(block));
    }
    memory.write(pool + field.nextBlock, blocks[0]);
    listAdd(memory, page + pageField.links, pool + field.pages);
    memory.write(pool + field.nrBlocks, memory.read(pool + field.nrBlocks) + blocks.length);
    memory.write(pool + field.nrPages, memory.read(pool + field.nrPages) + 1);
  }

  /** Where a page is cut into blocks. */
  private placesOf(pool: DmaPoolRef, page: Pointer): Pointer[] {
    const { memory } = this;
    const start = memory.read(page + pageField.start);
    const size = memory.read(pool + field.size);
    const offsets = blockOffsets(
      size,
      memory.read(pool + field.allocation),
      memory.read(pool + field.boundary),
    );
    return offsets.map((offset) => start + pointerOf(offset));
  }

  private pagesOf(pool: DmaPoolRef): Pointer[] {
    const { memory } = this;
    const head = pool + field.pages;
    const found: Pointer[] = [];
    for (let at = memory.read(head); at !== head; at = memory.read(at)) found.push(at - pageField.links);
    return found;
  }

  /** Linux: pool_block_err.  @holds pool.lock */
  private checkFree(pool: DmaPoolRef, block: Pointer): void {
    const { memory } = this;
    const page = this.pagesOf(pool).find((candidate) => {
      const start = memory.read(candidate + pageField.start);
      return block >= start && block < start + memory.read(pool + field.allocation) / WORD_BYTES;
    });
    if (page === undefined || !this.placesOf(pool, page).includes(block))
      bug(
        `dma_pool_free: word ${block} (frame ${pfnOf(block)}, at ${block - frameOf(pfnOf(block))}) is no block of the pool`,
      );
    for (let at = memory.read(pool + field.nextBlock); at !== 0; at = memory.read(at + blockField.next))
      if (at === block) bug(`dma_pool_free: the block at word ${block} is already free`);
  }

  private lock(pool: DmaPoolRef): number {
    return this.parts.locks.lockIrqSave(pool + field.lock);
  }

  private unlock(pool: DmaPoolRef, irqs: number): void {
    this.parts.locks.unlockIrqRestore(pool + field.lock, irqs);
  }
}

/** Linux: the beginning of dma_pool_create. */
function poolSizes(options: DmaPoolOptions): { bytes: number; allocation: number; boundary: number } {
  const { name, alignBytes = 1, boundaryBytes = 0, maskBits = 32 } = options;
  const refuse = (field: string, value: number, valid: string): never =>
    bug(`dma_pool_create(${name}): ${field} ${value}: valid are ${valid}`);
  const isPower = (value: number): boolean => Number.isInteger(Math.log2(value));
  const most = PAGE_BYTES << MAX_ORDER;
  if (!Number.isInteger(options.bytes) || options.bytes < 1 || options.bytes > most)
    refuse("bytes", options.bytes, `1 to ${most}`);
  if (!isPower(alignBytes) || alignBytes > PAGE_BYTES)
    refuse("alignBytes", alignBytes, `powers of two up to ${PAGE_BYTES}`);
  if (!Number.isInteger(maskBits) || maskBits < 24 || maskBits > 64) refuse("maskBits", maskBits, "24 to 64");
  const least = wordsIn(DmaBlock) * WORD_BYTES;
  const bytes = alignUp(Math.max(options.bytes, least), Math.max(alignBytes, LEAST_ALIGN));
  const allocation = Math.max(bytes, PAGE_BYTES);
  if (boundaryBytes !== 0 && (!isPower(boundaryBytes) || boundaryBytes < bytes))
    refuse("boundaryBytes", boundaryBytes, `0 and powers of two from ${bytes} on`);
  const boundary = boundaryBytes === 0 ? allocation : Math.min(boundaryBytes, allocation);
  return { bytes, allocation, boundary };
}

/** Where blocks of `size` lie in `allocation` bytes when none may cross a multiple of `boundary`. */
export function blockOffsets(size: number, allocation: number, boundary: number): number[] {
  const offsets: number[] = [];
  let nextBoundary = boundary;
  for (let offset = 0; offset + size <= allocation; ) {
    if (offset + size > nextBoundary) {
      offset = nextBoundary;
      nextBoundary += boundary;
      continue;
    }
    offsets.push(offset);
    offset += size;
  }
  return offsets;
}
