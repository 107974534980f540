/**
 * The page cache: from an index in a file to the frame with that page.
 *
 * A tree of nodes with 64 slots, as high as the greatest index needs.  Who looks up takes no lock: he finds a frame, takes a
 * reference unless it has none any more, and looks at the slot again, since the frame may have left the file and be somebody
 * else's by now.  Changes are made under xa_lock; nodes are freed after a grace period.
 *
 * Invariants, while xa_lock is free
 *   X1  a node's count == its slots that are not empty, at least 1; a child names its parent and its slot
 *   X2  cachedPages == frames in the tree; each is of type FILE, names the inode and its index, and has a reference for it
 *
 * Linux: mm/filemap.c filemap_get_entry, __filemap_add_folio, __filemap_remove_folio; lib/xarray.c xas_load, xas_create,
 * xas_delete_node, xas_shrink.  Differs: no direct entry at the root, no marks, no multi-index entries.
 */

import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { wordsIn } from "../memory/struct.ts";
import type { Pfn, Pointer } from "../memory/units.ts";
import { NodeStat } from "../mm/pages/counters.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { PageType } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { FilePage } from "../mm/pages/page-overlays.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { FunctionId, Functions } from "../sync/functions.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { Inode, type InodeRef, XA_SHIFT, XA_SLOTS, XaNode } from "./file-layout.ts";
import type { ProcessCaches } from "./process-caches.ts";

const inode = Inode;
const node = XaNode;
const page = FilePage;
/** A look-up trusts the frame that it has a reference to. */
const looksOnce = mutant("page-cache-no-recheck");
/** A page goes into its slot without a look whether another is there. */
const addsBlindly = mutant("page-cache-add-no-recheck");

export interface PageCacheParts {
  readonly memory: Memory;
  readonly locks: SpinLocks;
  readonly rcu: Rcu;
  readonly functions: Functions;
  readonly pages: PageAllocator;
  readonly slabs: SlabCaches;
  readonly caches: ProcessCaches;
}

export class PageCache {
  declare private readonly parts: PageCacheParts;
  declare private readonly memory: Memory;
  declare private readonly freeFunction: FunctionId;

  constructor(parts: PageCacheParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.freeFunction = parts.functions.register("xa_node_rcu_free", (_cpu, head) => {
      parts.slabs.free(parts.caches.xaNode, head - node.rcu);
    });
  }

  /** The page at `index`, with a reference of the caller's, or 0.  Linux: filemap_get_entry. */
  find(at: InodeRef, index: number): Pfn {
    const { memory } = this;
    const { rcu, pages } = this.parts;
    let found: Pfn = 0;
    rcu.readLock();
    for (;;) {
      const slot = this.slotOf(at, index);
      found = slot === 0 ? 0 : memory.load(slot);
      if (found === 0) break;
      // Without references it has left the slot already.
      if (!pages.tryGetPage(found)) continue;
      reached("page-cache-no-recheck");
      if (looksOnce || memory.load(slot) === found) break;
      pages.putPage(found);
    }
    rcu.readUnlock();
    return found;
  }

  /** Whether there is a page at `index`.  Linux: mincore_page. */
  has(at: InodeRef, index: number): boolean {
    const { rcu } = this.parts;
    rcu.readLock();
    const slot = this.slotOf(at, index);
    const isThere = slot !== 0 && this.memory.load(slot) !== 0;
    rcu.readUnlock();
    return isThere;
  }

  /**
   * Puts a locked page of the caller's at `index`: 0, -EEXIST if another is there, or -ENOMEM.
   * Linux: __filemap_add_folio.  @may-sleep
   */
  add(at: InodeRef, index: number, pfn: Pfn): number {
    const { memory } = this;
    const { locks, pages, slabs, caches } = this.parts;
    const spare: Pointer[] = [];
    let result: number = -Errno.ENOMEM;
    for (;;) {
      locks.lock(at + inode.xaLock);
      const missing = this.missingFor(at, index) - spare.length;
      if (missing <= 0) {
        result = this.store(at, index, pfn, spare);
        locks.unlock(at + inode.xaLock);
        break;
      }
      locks.unlock(at + inode.xaLock);
      if (!this.spareNodes(spare, missing)) break;
    }
    for (const left of spare) slabs.free(caches.xaNode, left);
    if (result === 0) this.countPages(pfn, 1);
    else {
      pages.setPageType(pfn, PageType.ALLOCATED);
      memory.store(pages.frames.pageOf(pfn) + page.mapping, 0);
    }
    return result;
  }

  /** Takes a locked page out; the cache's reference is the caller's now.  Linux: filemap_remove_folio. */
  remove(at: InodeRef, pfn: Pfn): void {
    const { memory } = this;
    const { locks, pages } = this.parts;
    const pageAt = pages.frames.pageOf(pfn);
    locks.lock(at + inode.xaLock);
    const slot = this.slotOf(at, memory.readFloat64(pageAt + page.index));
    if (slot === 0 || memory.load(slot) !== pfn) bug(`frame ${pfn} is not where it says in its file`);
    memory.store(slot, 0);
    memory.write(at + inode.cachedPages, memory.read(at + inode.cachedPages) - 1);
    this.emptied(at, nodeOf(slot, memory.readFloat64(pageAt + page.index)));
    memory.store(pageAt + page.mapping, 0);
    locks.unlock(at + inode.xaLock);
    this.countPages(pfn, -1);
    pages.setPageType(pfn, PageType.ALLOCATED);
  }

  /** The file a page belongs to at this moment, or 0; certain while the page is locked. */
  inodeOf(pfn: Pfn): InodeRef {
    return this.memory.load(this.parts.pages.frames.pageOf(pfn) + page.mapping);
  }

  /** Where in its file a locked page is. */
  indexOf(pfn: Pfn): number {
    return this.memory.readFloat64(this.parts.pages.frames.pageOf(pfn) + page.index);
  }

  /** Calls `visit` with the index of each page in [first, last] that is there at some moment of the walk. */
  each(at: InodeRef, first: number, last: number, visit: (index: number) => void): void {
    const { rcu } = this.parts;
    const found: number[] = [];
    rcu.readLock();
    const top = this.memory.load(at + inode.head);
    if (top !== 0) this.collect(top, 0, first, last, found);
    rcu.readUnlock();
    for (const index of found) visit(index);
  }

  /** X1, and X2 but for the references; the frames by their indexes. */
  check(at: InodeRef): Map<number, Pfn> {
    const { memory } = this;
    const found = new Map<number, Pfn>();
    const top = memory.read(at + inode.head);
    if (top !== 0) this.checkBelow(at, { at: top, parent: 0, offset: 0, base: 0 }, found);
    const said = memory.read(at + inode.cachedPages);
    if (said !== found.size) bug(`X2 inode at word ${at}: ${found.size} pages are cached, it says ${said}`);
    return found;
  }

  // ---- finding ----

  /** The slot for `index`, or 0 if there is no node for it.  @rcu read, or xa_lock */
  private slotOf(at: InodeRef, index: number): Pointer {
    const { memory } = this;
    let found = memory.load(at + inode.head);
    if (found === 0) return 0;
    let shift = memory.read(found + node.shift);
    if (index >= 2 ** (shift + XA_SHIFT)) return 0;
    for (;;) {
      const slot = found + node.slots + slotNumber(index, shift);
      if (shift === 0) return slot;
      found = memory.load(slot);
      if (found === 0) return 0;
      shift -= XA_SHIFT;
    }
  }

  private collect(from: Pointer, base: number, first: number, last: number, found: number[]): void {
    const { memory } = this;
    const shift = memory.read(from + node.shift);
    const step = 2 ** shift;
    for (let i = 0; i < XA_SLOTS; i++) {
      const start = base + i * step;
      if (start > last) return;
      if (start + step <= first) continue;
      const entry = memory.load(from + node.slots + i);
      if (entry === 0) continue;
      if (shift === 0) found.push(start);
      else this.collect(entry, start, first, last, found);
    }
  }

  // ---- changing: xa_lock is held ----

  /** How many nodes a page at `index` needs that are not there. */
  private missingFor(at: InodeRef, index: number): number {
    const { memory } = this;
    const top = memory.read(at + inode.head);
    const needed = shiftFor(index);
    if (top === 0) return needed / XA_SHIFT + 1;
    const shift = memory.read(top + node.shift);
    if (needed > shift) return (needed - shift) / XA_SHIFT + needed / XA_SHIFT;
    let at2 = top;
    for (let below = shift; below > 0; below -= XA_SHIFT) {
      at2 = memory.read(at2 + node.slots + slotNumber(index, below));
      if (at2 === 0) return below / XA_SHIFT;
    }
    return 0;
  }

  /** 0 or -EEXIST; `spare` has nodes enough. */
  private store(at: InodeRef, index: number, pfn: Pfn, spare: Pointer[]): number {
    const { memory } = this;
    const { pages } = this.parts;
    const present = this.slotOf(at, index);
    reached("page-cache-add-no-recheck");
    if (present !== 0 && memory.load(present) !== 0 && !addsBlindly) return -Errno.EEXIST;
    pages.getPage(pfn);
    pages.setPageType(pfn, PageType.FILE);
    const pageAt = pages.frames.pageOf(pfn);
    memory.write(pageAt + page.private, 0);
    memory.writeFloat64(pageAt + page.index, index);
    memory.store(pageAt + page.mapping, at);
    this.grow(at, shiftFor(index), spare);
    let parent = memory.read(at + inode.head);
    for (let shift = memory.read(parent + node.shift); shift > 0; shift -= XA_SHIFT) {
      const offset = slotNumber(index, shift);
      let child = memory.read(parent + node.slots + offset);
      if (child === 0) {
        child = this.format(spare, shift - XA_SHIFT, parent, offset);
        this.fillSlot(parent, offset, child);
      }
      parent = child;
    }
    this.fillSlot(parent, slotNumber(index, 0), pfn);
    memory.write(at + inode.cachedPages, memory.read(at + inode.cachedPages) + 1);
    return 0;
  }

  /** Puts nodes above the root until indexes of `shift` fit.  Linux: xas_expand. */
  private grow(at: InodeRef, shift: number, spare: Pointer[]): void {
    const { memory } = this;
    let top = memory.read(at + inode.head);
    if (top === 0) memory.store(at + inode.head, this.format(spare, shift, 0, 0));
    else
      for (let now = memory.read(top + node.shift); now < shift; now += XA_SHIFT) {
        const above = this.format(spare, now + XA_SHIFT, 0, 0);
        memory.write(top + node.parent, above);
        this.fillSlot(above, 0, top);
        memory.store(at + inode.head, above);
        top = above;
      }
  }

  private fillSlot(at: Pointer, offset: number, entry: number): void {
    const { memory } = this;
    if (memory.load(at + node.slots + offset) === 0)
      memory.write(at + node.count, memory.read(at + node.count) + 1);
    memory.store(at + node.slots + offset, entry);
  }

  /** A slot of `from` was emptied: nodes without entries go, and roots with one only.  Linux: xas_delete_node, xas_shrink. */
  private emptied(at: InodeRef, from: Pointer): void {
    const { memory } = this;
    for (let now = from; ; ) {
      const count = memory.read(now + node.count) - 1;
      memory.write(now + node.count, count);
      if (count > 0) break;
      const parent = memory.read(now + node.parent);
      memory.store(parent === 0 ? at + inode.head : parent + node.slots + memory.read(now + node.offset), 0);
      this.free(now);
      if (parent === 0) return;
      now = parent;
    }
    for (let top = memory.read(at + inode.head); ; ) {
      const only = memory.load(top + node.slots);
      if (memory.read(top + node.count) !== 1 || only === 0 || memory.read(top + node.shift) === 0) return;
      memory.write(only + node.parent, 0);
      memory.store(at + inode.head, only);
      // Who is in the old root still finds its child.
      this.free(top);
      top = only;
    }
  }

  private format(spare: Pointer[], shift: number, parent: Pointer, offset: number): Pointer {
    const { memory } = this;
    const fresh = spare.pop() ?? bug("a tree of pages needs more nodes than were counted");
    memory.fill(fresh, wordsIn(XaNode), 0);
    memory.write(fresh + node.shift, shift);
    memory.write(fresh + node.parent, parent);
    memory.write(fresh + node.offset, offset);
    return fresh;
  }

  private free(at: Pointer): void {
    this.parts.rcu.call(at + node.rcu, this.freeFunction);
  }

  private spareNodes(spare: Pointer[], count: number): boolean {
    const { slabs, caches } = this.parts;
    for (let i = 0; i < count; i++) {
      const fresh = slabs.alloc(caches.xaNode, Gfp.KERNEL);
      if (fresh === 0) return false;
      spare.push(fresh);
    }
    return true;
  }

  private countPages(pfn: Pfn, change: number): void {
    const { vmstat, frames } = this.parts.pages;
    const nodeAt = frames.nodeAt(frames.nodeOf(frames.pageOf(pfn)));
    vmstat.modNode(nodeAt, NodeStat.nr_file_pages, change);
    vmstat.modNode(nodeAt, NodeStat.nr_shmem, change);
  }

  private checkBelow(
    at: InodeRef,
    here: { at: Pointer; parent: Pointer; offset: number; base: number },
    found: Map<number, Pfn>,
  ): void {
    const { memory } = this;
    const { frames } = this.parts.pages;
    const where = `inode at word ${at}, node at word ${here.at}`;
    const shift = memory.read(here.at + node.shift);
    if (memory.read(here.at + node.parent) !== here.parent) bug(`X1 ${where}: names another parent`);
    if (here.parent !== 0 && memory.read(here.at + node.offset) !== here.offset)
      bug(`X1 ${where}: it is in slot ${here.offset}, and says another`);
    let count = 0;
    for (let offset = 0; offset < XA_SLOTS; offset++) {
      const entry = memory.load(here.at + node.slots + offset);
      if (entry === 0) continue;
      count++;
      const base = here.base + offset * 2 ** shift;
      if (shift > 0) this.checkBelow(at, { at: entry, parent: here.at, offset, base }, found);
      else {
        const pageAt = frames.pageOf(entry);
        if (memory.load(pageAt + page.mapping) !== at || memory.readFloat64(pageAt + page.index) !== base)
          bug(`X2 ${where}: frame ${entry} at index ${base} names another place`);
        found.set(base, entry);
      }
    }
    const said = memory.read(here.at + node.count);
    if (count === 0 || said !== count) bug(`X1 ${where}: ${count} slots are full, it says ${said}`);
  }
}

/** Index bits below the root of a tree that has `index`. */
function shiftFor(index: number): number {
  let shift = 0;
  while (index >= 2 ** (shift + XA_SHIFT)) shift += XA_SHIFT;
  return shift;
}

const slotNumber = (index: number, shift: number): number => Math.floor(index / 2 ** shift) % XA_SLOTS;

/** The node of level 0 that has the slot of `index`. */
const nodeOf = (slot: Pointer, index: number): Pointer => slot - slotNumber(index, 0) - node.slots;
