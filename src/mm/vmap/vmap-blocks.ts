/**
 * Pieces of up to 64 pages out of blocks of 1024: mapping without the range's trees, and one flush for many.
 *
 * Each CPU gives out pages of its own blocks from the front; pages that come back are *dirty*, and are not given out again.
 * A block whose pages are all dirty becomes a lazy area, and so does, when room is short, one that has only free and dirty
 * pages.  So an address is never used twice before a flush.
 *
 * Invariants of a block, while its lock is free
 *   K1  free + dirty + pages in use == 1024; `used` has a bit for each page in use
 *   K2  it is on its queue's free list exactly while it has free pages
 *   K3  pages that are dirty and not flushed lie between dirtyMin and dirtyMax
 *
 * Lists are read under RCU; a block is freed after a grace period.
 * Lock order: vb.lock -> vbq.lock.  Linux: mm/vmalloc.c vb_alloc, vb_free, new_vmap_block, purge_fragmented_block,
 * _vm_unmap_aliases.  Differs: the blocks of a part of the addresses are a list, where Linux has an xarray.
 */

import { Bitmap } from "../../memory/bitmap.ts";
import { bug } from "../../memory/bug.ts";
import { listDel, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { wordsIn } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { Kmalloc } from "../slab/kmalloc.ts";
import type { KernelFlush } from "./kernel-flush.ts";
import type { KernelTables } from "./kernel-tables.ts";
import type { LazyPurge } from "./lazy-purge.ts";
import { formatAddress, VMALLOC_START } from "./vmalloc-space.ts";
import { VMAP_BLOCK, VMAP_RAM } from "./vmap-area.ts";
import type { VmapAreas } from "./vmap-areas.ts";
import { BLOCK_PAGES, VmapBlock } from "./vmap-block.ts";
import { VmapCpu } from "./vmap-globals.ts";

const block = VmapBlock;
const BLOCK_BYTES = BLOCK_PAGES * PAGE_BYTES;
/** A block is given up without its lock. */
const givesUpUnlocked = mutant("vmap-block-unlocked");
/** A block with fewer free pages is purged even if nothing presses.  Linux: VMAP_PURGE_THRESHOLD. */
const PURGE_THRESHOLD = BLOCK_PAGES / 4;

export interface BlockParts {
  readonly memory: Memory;
  readonly cpuId: number;
  readonly cpus: number;
  readonly locks: SpinLocks;
  readonly rcu: Rcu;
  readonly heap: Kmalloc;
  readonly areas: VmapAreas;
  readonly tables: KernelTables;
  readonly purge: LazyPurge;
  readonly flush: KernelFlush;
  /** Runs on a block after its grace period. */
  readonly freeFunction: FunctionId;
  /** Where a CPU's VmapCpu is. */
  readonly ownOf: (cpu: number) => Pointer;
}

export class VmapBlocks {
  declare private readonly parts: BlockParts;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;

  constructor(parts: BlockParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.locks = parts.locks;
    parts.purge.installBlocks(() => this.purgeFragmented());
  }

  /** First state of a CPU's queue, on the boot CPU. */
  format(cpu: number): void {
    const own = this.parts.ownOf(cpu);
    this.locks.format(own + VmapCpu.queueLock, LockClass.VMAP_BLOCK_QUEUE);
    listInit(this.memory, own + VmapCpu.freeBlocks);
    listInit(this.memory, own + VmapCpu.allBlocks);
  }

  /** Addresses of 2^order pages that are mapped to nothing, or 0.  Linux: vb_alloc.  @takes vb.lock -> vbq.lock */
  alloc(order: number): number {
    const { memory, locks } = this;
    const { rcu, cpuId, ownOf } = this.parts;
    const pages = 1 << order;
    const head = ownOf(cpuId) + VmapCpu.freeBlocks;
    let address = 0;
    rcu.readLock();
    for (let link = memory.load(head); link !== head && address === 0; link = memory.load(link)) {
      const at = link - block.freeLinks;
      if (memory.read(at + block.free) < pages) continue;
      locks.lock(at + block.lock);
      const free = memory.read(at + block.free);
      if (free >= pages) {
        const first = BLOCK_PAGES - free;
        address = memory.readFloat64(at + block.start) + first * PAGE_BYTES;
        memory.write(at + block.free, free - pages);
        this.usedOf(at).setRange(first, pages);
        if (free === pages) this.leaveFreeList(at);
      }
      locks.unlock(at + block.lock);
    }
    rcu.readUnlock();
    return address !== 0 ? address : this.newBlock(pages);
  }

  /** Gives back what `alloc` has returned, and unmaps it.  Linux: vb_free.  @takes vb.lock */
  free(address: number, order: number): void {
    const { memory, locks } = this;
    const { tables } = this.parts;
    const pages = 1 << order;
    const at = this.find(address);
    const first = (address - memory.readFloat64(at + block.start)) / PAGE_BYTES;
    locks.lock(at + block.lock);
    const used = this.usedOf(at);
    if (used.nextClear(first) < first + pages)
      bug(`vm_unmap_ram: page ${used.nextClear(first)} of a block is not in use`);
    used.clearRange(first, pages);
    locks.unlock(at + block.lock);
    tables.unmap(address, address + pages * PAGE_BYTES);
    const dirty = this.addDirty(at, first, pages);
    if (dirty === BLOCK_PAGES) this.freeBlock(at);
  }

  /** The block of an address that is in use: it stays.  Linux: addr_to_vb_xa, xa_load. */
  private find(address: number): Pointer {
    const { memory } = this;
    const { rcu } = this.parts;
    const start = Math.floor(address / BLOCK_BYTES) * BLOCK_BYTES;
    const head = this.homeOf(start) + VmapCpu.allBlocks;
    let found = 0;
    rcu.readLock();
    for (let link = memory.load(head); link !== head && found === 0; link = memory.load(link)) {
      const at = link - block.allLinks;
      if (memory.readFloat64(at + block.start) === start) found = at;
    }
    rcu.readUnlock();
    if (found === 0) bug(`vm_unmap_ram: no block holds ${formatAddress(address)}`);
    return found;
  }

  /** Whose list has the block that begins at `start`. */
  private homeOf(start: number): Pointer {
    const { cpus, ownOf } = this.parts;
    return ownOf(((start - VMALLOC_START) / BLOCK_BYTES) % cpus);
  }

  /** Pages are unmapped and wait for a flush; how many of the block do.  @takes vb.lock */
  private addDirty(at: Pointer, first: number, pages: number): number {
    const { memory, locks } = this;
    locks.lock(at + block.lock);
    memory.write(at + block.dirtyMin, Math.min(memory.read(at + block.dirtyMin), first));
    memory.write(at + block.dirtyMax, Math.max(memory.read(at + block.dirtyMax), first + pages));
    const dirty = memory.read(at + block.dirty) + pages;
    memory.write(at + block.dirty, dirty);
    locks.unlock(at + block.lock);
    return dirty;
  }

  /**
   * No TLB knows any page that was unmapped before the call.  Linux: vm_unmap_aliases.
   * @takes vmap_purge_lock -> vb.lock   @may-sleep
   */
  unmapAliases(): void {
    const { memory, locks } = this;
    const { purge, flush } = this.parts;
    purge.locked(() => {
      const purged: Pointer[] = [];
      let start = Infinity;
      let end = -Infinity;
      this.forEach(VmapCpu.allBlocks, block.allLinks, (at) => {
        locks.lock(at + block.lock);
        if (this.giveUp(at, false)) purged.push(at);
        else if (memory.read(at + block.dirtyMax) > 0 && memory.read(at + block.dirty) !== BLOCK_PAGES) {
          const base = memory.readFloat64(at + block.start);
          start = Math.min(start, base + memory.read(at + block.dirtyMin) * PAGE_BYTES);
          end = Math.max(end, base + memory.read(at + block.dirtyMax) * PAGE_BYTES);
          memory.write(at + block.dirtyMin, BLOCK_PAGES);
          memory.write(at + block.dirtyMax, 0);
        }
        locks.unlock(at + block.lock);
      });
      for (const at of purged) this.freeBlock(at);
      if (!purge.purge(start, end, false) && start < end) flush.range(start, end);
    });
  }

  /** Blocks with nothing in use become lazy areas.  Linux: purge_fragmented_blocks_allcpus.  @holds vmap_purge_lock */
  private purgeFragmented(): void {
    const { memory, locks } = this;
    const purged: Pointer[] = [];
    this.forEach(VmapCpu.freeBlocks, block.freeLinks, (at) => {
      const dirty = memory.read(at + block.dirty);
      if (memory.read(at + block.free) + dirty !== BLOCK_PAGES || dirty === BLOCK_PAGES) return;
      reached("vmap-block-unlocked");
      if (!givesUpUnlocked) locks.lock(at + block.lock);
      if (this.giveUp(at, true)) purged.push(at);
      if (!givesUpUnlocked) locks.unlock(at + block.lock);
    });
    for (const at of purged) this.freeBlock(at);
  }

  private forEach(head: number, links: number, visit: (at: Pointer) => void): void {
    const { memory } = this;
    const { rcu, cpus, ownOf } = this.parts;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const list = ownOf(cpu) + head;
      rcu.readLock();
      for (let link = memory.load(list); link !== list; link = memory.load(link)) visit(link - links);
      rcu.readUnlock();
    }
  }

  /**
   * Takes a block that has only free and dirty pages out of use; it is the caller's to free.
   * Linux: purge_fragmented_block.
   * @holds vb.lock
   */
  private giveUp(at: Pointer, always: boolean): boolean {
    const { memory } = this;
    const free = memory.read(at + block.free);
    const dirty = memory.read(at + block.dirty);
    if (free + dirty !== BLOCK_PAGES || dirty === BLOCK_PAGES) return false;
    if (!always && free >= PURGE_THRESHOLD) return false;
    memory.write(at + block.free, 0);
    memory.write(at + block.dirty, BLOCK_PAGES);
    memory.write(at + block.dirtyMin, 0);
    memory.write(at + block.dirtyMax, BLOCK_PAGES);
    if (free > 0) this.leaveFreeList(at);
    return true;
  }

  /** A block with its first `pages` pages in use.  Linux: new_vmap_block.  @may-sleep */
  private newBlock(pages: number): number {
    const { memory, locks } = this;
    const { heap, areas, cpuId, ownOf } = this.parts;
    const at = heap.kmalloc(wordsIn(VmapBlock) * WORD_BYTES, Gfp.KERNEL | GfpFlag.ZERO);
    if (at === 0) return 0;
    const area = areas.alloc(BLOCK_BYTES, BLOCK_BYTES, Gfp.KERNEL, VMAP_RAM | VMAP_BLOCK, at);
    if (area === 0) {
      heap.kfree(at);
      return 0;
    }
    const address = areas.startOf(area);
    locks.format(at + block.lock, LockClass.VMAP_BLOCK);
    memory.write(at + block.area, area);
    memory.writeFloat64(at + block.start, address);
    memory.write(at + block.free, BLOCK_PAGES - pages);
    memory.write(at + block.dirtyMin, BLOCK_PAGES);
    memory.write(at + block.cpu, cpuId);
    this.usedOf(at).setRange(0, pages);
    const own = ownOf(cpuId);
    const home = this.homeOf(address);
    locks.lock(home + VmapCpu.queueLock);
    this.publish(at + block.allLinks, home + VmapCpu.allBlocks);
    locks.unlock(home + VmapCpu.queueLock);
    locks.lock(own + VmapCpu.queueLock);
    this.publish(at + block.freeLinks, own + VmapCpu.freeBlocks);
    locks.unlock(own + VmapCpu.queueLock);
    return address;
  }

  /** A block of dirty pages only: its area becomes lazy.  Linux: free_vmap_block.  @takes vbq.lock, busy.lock, lazy.lock */
  private freeBlock(at: Pointer): void {
    const { memory, locks } = this;
    const { areas, rcu, freeFunction } = this.parts;
    const queue = this.homeOf(memory.readFloat64(at + block.start)) + VmapCpu.queueLock;
    locks.lock(queue);
    listDel(memory, at + block.allLinks);
    locks.unlock(queue);
    const area = memory.read(at + block.area);
    areas.unlink(area);
    areas.freeNoFlush(area);
    rcu.call(at + block.rcu, freeFunction);
  }

  /** @holds vb.lock  @takes vbq.lock */
  private leaveFreeList(at: Pointer): void {
    const { memory, locks } = this;
    const queue = this.parts.ownOf(memory.read(at + block.cpu)) + VmapCpu.queueLock;
    locks.lock(queue);
    listDel(memory, at + block.freeLinks);
    locks.unlock(queue);
  }

  /** The last on a list that others are reading.  Linux: list_add_tail_rcu. */
  private publish(link: Pointer, head: Pointer): void {
    const { memory } = this;
    const last = memory.read(head + 1);
    memory.write(link, head);
    memory.write(link + 1, last);
    memory.write(head + 1, link);
    memory.store(last, link);
  }

  private usedOf(at: Pointer): Bitmap {
    return new Bitmap(this.memory, at + block.used, BLOCK_PAGES);
  }
}
