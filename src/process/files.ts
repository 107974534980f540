/**
 * Open memory files, and which VMAs map them.
 *
 *   VMA.file ──► file ──► inode ──┬── i_mmap: interval tree of VMAs, by page offsets; under i_mmap_rwsem
 *                                 └── pages: see page-cache.ts
 *
 * Invariants, while i_mmap_rwsem is free
 *   F1  i_mmap has exactly the VMAs whose file is of the inode, from before they are found until their pages are gone
 *   F2  a file's references == VMAs that name it + those of who opened it; an inode's == its files
 *
 * Lock order: i_rwsem -> mmap_lock -> page lock -> i_mmap_rwsem -> anon_vma.lock -> page table lock.
 * Linux: fs/file_table.c, mm/vma.c vma_link_file, unlink_file_vma, vma_prepare; mm/interval_tree.c.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import { ListHead, listAdd, listDel, listInit } from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, struct, word, wordsIn } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import { LockClass } from "../sync/lock-class.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import { SpinLock, type SpinLocks } from "../sync/spinlock.ts";
import type { WaitQueues } from "../sync/wait-queue.ts";
import { FileMode, type FileRef, Inode, type InodeRef, OpenFile } from "./file-layout.ts";
import { type FileType, FileTypes } from "./file-types.ts";
import { IntervalTree } from "./interval-tree.ts";
import type { MappedFile } from "./mmap.ts";
import type { ProcessCaches } from "./process-caches.ts";
import { VmArea, type VmaRef } from "./vm-area.ts";
import type { AreaHooks } from "./vmas.ts";

const vma = VmArea;
const file = OpenFile;
const inode = Inode;
/** The table of functions of VMAs of memory files; those of other types follow.  Linux: shmem_vm_ops. */
export const SHMEM_OPS = 1;

const Globals = struct("shmem_sb", {
  lock: embed(SpinLock, "atomic"),
  inodes: embed(ListHead, "holder"),
  /** Linux: get_next_ino. */
  lastNumber: word("atomic", "counter"),
});

export interface FileParts {
  readonly memory: Memory;
  readonly locks: SpinLocks;
  readonly rwsems: RwSemaphores;
  readonly waitQueues: WaitQueues;
  readonly slabs: SlabCaches;
  readonly caches: ProcessCaches;
  readonly slot: Slot;
  /** Takes the pages of an inode that nobody has any more.  Linux: shmem_evict_inode. */
  readonly evict: (at: InodeRef) => void;
}

export class Files implements AreaHooks {
  declare private readonly memory: Memory;
  /** Types that file systems have registered. */
  readonly types = new FileTypes();
  declare private readonly parts: FileParts;
  declare private readonly intervals: IntervalTree;

  constructor(parts: FileParts) {
    const { memory } = parts;
    this.memory = memory;
    this.parts = parts;
    const areaOf = (node: Pointer): VmaRef => node - vma.shared;
    const firstOf = (node: Pointer): number => memory.readFloat64(areaOf(node) + vma.pgoff);
    this.intervals = new IntervalTree({
      memory,
      subtreeLast: vma.sharedLast - vma.shared,
      firstOf,
      lastOf: (node) => {
        const at = areaOf(node);
        const bytes = memory.readFloat64(at + vma.end) - memory.readFloat64(at + vma.start);
        return firstOf(node) + bytes / PAGE_BYTES - 1;
      },
    });
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("shmem_sb", Globals);
  }

  /** Before the first file. */
  format(): void {
    this.parts.locks.format(this.parts.slot.address + Globals.lock, LockClass.INODE);
    listInit(this.memory, this.parts.slot.address + Globals.inodes);
  }

  // ---- files ----

  /** An inode without pages and without an open file, or 0. */
  makeInode(bytes: number, committed: number, isNoReserve: boolean, type = 0): InodeRef {
    const { memory } = this;
    const { slabs, caches, locks, rwsems, waitQueues, slot } = this.parts;
    const fresh = slabs.alloc(caches.inode, Gfp.KERNEL);
    if (fresh === 0) return 0;
    memory.fill(fresh, wordsIn(Inode), 0);
    memory.writeFloat64(fresh + inode.size, bytes);
    memory.writeFloat64(fresh + inode.committed, committed);
    memory.write(fresh + inode.isNoReserve, isNoReserve ? 1 : 0);
    memory.write(fresh + inode.number, memory.add(slot.address + Globals.lastNumber, 1) + 1);
    memory.write(fresh + inode.type, type);
    waitQueues.format(fresh + inode.punchWait);
    rwsems.format(fresh + inode.sem, LockClass.INODE_RWSEM);
    rwsems.format(fresh + inode.mmapSem, LockClass.I_MMAP);
    locks.format(fresh + inode.xaLock, LockClass.INODE);
    locks.lock(slot.address + Globals.lock);
    listAdd(memory, fresh + inode.link, slot.address + Globals.inodes);
    locks.unlock(slot.address + Globals.lock);
    return fresh;
  }

  /** Opens an inode: a file with one reference, or 0. */
  open(at: InodeRef, mode: number): FileRef {
    const { memory } = this;
    const { slabs, caches } = this.parts;
    const fresh = slabs.alloc(caches.file, Gfp.KERNEL);
    if (fresh === 0) return 0;
    memory.write(fresh + file.mode, mode);
    memory.write(fresh + file.inode, at);
    memory.store(fresh + file.refcount, 1);
    memory.add(at + inode.refcount, 1);
    return fresh;
  }

  /** What mmap is told of a file. */
  describe(at: FileRef): MappedFile {
    const mode = this.memory.read(at + file.mode);
    const [isReadable, isWritable] = [(mode & FileMode.READ) !== 0, (mode & FileMode.WRITE) !== 0];
    const type = this.memory.read(this.inodeOf(at) + inode.type);
    return { file: at, isReadable, isWritable, ops: SHMEM_OPS + type };
  }

  inodeOf(at: FileRef): InodeRef {
    return this.memory.read(at + file.inode);
  }

  isWritable(at: FileRef): boolean {
    return (this.memory.read(at + file.mode) & FileMode.WRITE) !== 0;
  }

  /** Linux: get_file. */
  get(at: FileRef): void {
    if (this.memory.add(at + file.refcount, 1) < 1) bug(`get_file of a file at word ${at} that has ended`);
  }

  /** Linux: fput, iput, evict.  Differs: at once, not when the task leaves the kernel.  @may-sleep */
  put(at: FileRef): void {
    const before = this.memory.add(at + file.refcount, -1);
    if (before < 1) bug(`fput of the file at word ${at}, which has ${before} references`);
    if (before > 1) return;
    const of = this.inodeOf(at);
    this.parts.slabs.free(this.parts.caches.file, at);
    if (this.memory.add(of + inode.refcount, -1) === 1) this.drop(of);
  }

  /** Gives back an inode that nobody has opened. */
  drop(at: InodeRef): void {
    const { memory } = this;
    const { locks, slabs, caches, slot, evict } = this.parts;
    if (memory.read(at + inode.mappings) !== 0) bug(`F1 the inode at word ${at} ends, and is mapped`);
    evict(at);
    locks.lock(slot.address + Globals.lock);
    listDel(memory, at + inode.link);
    locks.unlock(slot.address + Globals.lock);
    slabs.free(caches.inode, at);
  }

  typeOf(at: InodeRef): FileType {
    return this.types.of(this.memory.read(at + inode.type));
  }

  // ---- mappings ----

  /** The inode whose pages a VMA maps, or 0. */
  mappedBy(area: VmaRef): InodeRef {
    const of = this.memory.read(area + vma.file);
    return of === 0 ? 0 : this.inodeOf(of);
  }

  /** A VMA that is a copy of another, or new: it has a reference, and truncation finds it.  @holds mmap_lock */
  opened(area: VmaRef): void {
    const of = this.mappedBy(area);
    if (of === 0) return;
    this.get(this.memory.read(area + vma.file));
    this.lockMappings(of);
    this.intervals.insert(of + inode.mappings, area + vma.shared);
    this.memory.write(area + vma.isLinked, 1);
    this.unlockMappings(of);
  }

  /** Nobody looks for pages in the VMA any more: before its page tables go.  Linux: unlink_file_vma. */
  unlinked(area: VmaRef): void {
    const of = this.mappedBy(area);
    if (of === 0 || this.memory.read(area + vma.isLinked) === 0) return;
    this.lockMappings(of);
    this.intervals.remove(of + inode.mappings, area + vma.shared);
    this.memory.write(area + vma.isLinked, 0);
    this.unlockMappings(of);
  }

  closed(area: VmaRef): void {
    const of = this.memory.read(area + vma.file);
    if (of === 0) return;
    this.unlinked(area);
    this.put(of);
  }

  /** The bounds of these VMAs, of one inode, are about to change: they leave its tree, which is locked till `endMove`. */
  beginMove(areas: readonly VmaRef[]): void {
    const of = this.mappedBy(areas[0]);
    if (of === 0) return;
    this.lockMappings(of);
    for (const area of areas) this.intervals.remove(of + inode.mappings, area + vma.shared);
  }

  endMove(areas: readonly VmaRef[]): void {
    const of = this.mappedBy(areas[0]);
    if (of === 0) return;
    for (const area of areas) this.intervals.insert(of + inode.mappings, area + vma.shared);
    this.unlockMappings(of);
  }

  /** Calls `visit` with every VMA that maps pages of [first, last].  Linux: vma_interval_tree_foreach.  @may-sleep */
  eachMapping(at: InodeRef, first: number, last: number, visit: (area: VmaRef) => void): void {
    const { rwsems } = this.parts;
    rwsems.readLock(at + inode.mmapSem);
    this.intervals.forEach(at + inode.mappings, first, last, (node) => visit(node - vma.shared));
    rwsems.readUnlock(at + inode.mmapSem);
  }

  /** Linux: i_mmap_lock_write: no page of the inode is looked for in page tables.  @may-sleep */
  lockMappings(at: InodeRef): void {
    this.parts.rwsems.writeLock(at + inode.mmapSem);
  }
  unlockMappings(at: InodeRef): void {
    this.parts.rwsems.writeUnlock(at + inode.mmapSem);
  }

  // ---- checks ----

  /** All inodes, at rest. */
  inodes(): InodeRef[] {
    const { memory } = this;
    const head = this.parts.slot.address + Globals.inodes;
    const found: InodeRef[] = [];
    for (let link = memory.read(head); link !== 0 && link !== head; link = memory.read(link))
      found.push(link - inode.link);
    return found;
  }

  /** The VMAs in an inode's tree, and that tree's invariants. */
  checkMappings(at: InodeRef): VmaRef[] {
    return this.intervals
      .check(at + inode.mappings, `i_mmap of the inode at word ${at}`)
      .map((node) => node - vma.shared);
  }
}
