/**
 * The VMAs of an address space: made, found, split and merged, with mmap_lock held for writing.
 *
 * Invariants, while mmap_lock is free
 *   M1  VMAs are disjoint, in order, whole pages, each in the tree over exactly its range and with its mm
 *   M2  mapCount == entries of the tree; totalVm, lockedVm, dataVm, execVm and stackVm are the sums over them
 *   M3  no VMA in the tree is detached
 *
 * Linux: mm/vma.c, kernel/fork.c vm_area_alloc, vm_area_dup, vm_area_free.
 */

import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import { listInit } from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { shape } from "../memory/shape.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { FunctionId, Functions } from "../sync/functions.ts";
import { LockClass } from "../sync/lock-class.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { AnonVmas } from "./anon-vma.ts";
import type { MapleTrees, Reserved } from "./maple-tree.ts";
import type { ProcessCaches } from "./process-caches.ts";
import { type MmRef, MmStruct, VmArea, VmaLock, type VmaRef } from "./vm-area.ts";
import type { VmSettings } from "./vm-settings.ts";
import type { MmapLocks } from "./vma-lock.ts";

const vma = VmArea;
const mm = MmStruct;
/** VMAs may be given out again at once: who has found one looks at its count, and whose it is.  See vma-refcount.ts. */
const isTypesafe = shape.vmaLock === "6.18";
/** VMAs are freed at once, under look-ups that have found them. */
const freesAtOnce = mutant("vma-free-before-grace");

export interface VmaParts {
  readonly memory: Memory;
  readonly rcu: Rcu;
  readonly functions: Functions;
  readonly rwsems: RwSemaphores;
  readonly slabs: SlabCaches;
  readonly mapleTrees: MapleTrees;
  readonly caches: ProcessCaches;
  readonly mmapLocks: MmapLocks;
  readonly anonVmas: AnonVmas;
  readonly vmSettings: Pick<VmSettings, "maxMapCount">;
}

/** What the owner of files does when a VMA of one comes or goes.  Linux: vm_ops open and close, get_file, fput. */
export interface AreaHooks {
  opened(area: VmaRef): void;
  /** No page of it is looked for any more; `closed` comes later. */
  unlinked(area: VmaRef): void;
  closed(area: VmaRef): void;
  beginMove(areas: readonly VmaRef[]): void;
  endMove(areas: readonly VmaRef[]): void;
}

interface VmaMove {
  readonly area: VmaRef;
  readonly start: number;
  readonly end: number;
}

/** What a new VMA is told. */
export interface VmaOptions {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly pgoff: number;
  readonly file?: number;
  readonly ops?: number;
}

export class Vmas {
  declare readonly trees: MapleTrees;
  declare readonly locks: MmapLocks;
  declare readonly anonVmas: AnonVmas;
  declare readonly memory: Memory;
  /** VMAs that an address space may have.  Linux: sysctl vm.max_map_count. */
  declare readonly maxMapCount: number;
  declare private readonly rcu: Rcu;
  declare private readonly rwsems: RwSemaphores;
  declare private readonly slabs: SlabCaches;
  declare private readonly caches: ProcessCaches;
  declare private readonly freeFunction: FunctionId;
  private hooks: AreaHooks | null = null;

  constructor(parts: VmaParts) {
    this.memory = parts.memory;
    this.rcu = parts.rcu;
    this.maxMapCount = parts.vmSettings.maxMapCount;
    this.rwsems = parts.rwsems;
    this.slabs = parts.slabs;
    this.trees = parts.mapleTrees;
    this.caches = parts.caches;
    this.locks = parts.mmapLocks;
    this.anonVmas = parts.anonVmas;
    this.freeFunction = parts.functions.register("vm_area_free_rcu_cb", (_cpu, head) => {
      this.freeNow(head - vma.rcu);
    });
  }

  install(hooks: AreaHooks): void {
    this.hooks = hooks;
  }

  opened(area: VmaRef): void {
    this.hooks?.opened(area);
  }
  unlinked(area: VmaRef): void {
    this.hooks?.unlinked(area);
  }
  closed(area: VmaRef): void {
    this.hooks?.closed(area);
  }

  // ---- fields ----

  startOf(at: VmaRef): number {
    return this.memory.readFloat64(at + vma.start);
  }
  endOf(at: VmaRef): number {
    return this.memory.readFloat64(at + vma.end);
  }
  pgoffOf(at: VmaRef): number {
    return this.memory.readFloat64(at + vma.pgoff);
  }
  flagsOf(at: VmaRef): number {
    return this.memory.read(at + vma.flags);
  }
  pagesOf(at: VmaRef): number {
    return (this.endOf(at) - this.startOf(at)) / PAGE_BYTES;
  }

  // ---- finding: mmap_lock is held ----

  /** The VMA around `address` or the first after it, or 0.  Linux: find_vma. */
  find(at: MmRef, address: number): VmaRef {
    return this.trees.find(at + mm.tree, address);
  }

  /** The VMA around `address`, or 0.  Linux: vma_lookup. */
  lookup(at: MmRef, address: number): VmaRef {
    return this.trees.at(at + mm.tree, address);
  }

  /** The last VMA that ends at `address` or before, or 0. */
  before(at: MmRef, address: number): VmaRef {
    return address === 0 ? 0 : this.trees.findBack(at + mm.tree, address - 1);
  }

  /** All VMAs with a byte in [start, end), in order. */
  overlapping(at: MmRef, start: number, end: number): VmaRef[] {
    const found: VmaRef[] = [];
    for (let next = start; next < end; ) {
      const area = this.trees.find(at + mm.tree, next, end - 1);
      if (area === 0 || this.startOf(area) >= end) break;
      found.push(area);
      next = this.endOf(area);
    }
    return found;
  }

  // ---- making and ending ----

  /** A VMA in no tree, or 0.  Linux: vm_area_alloc. */
  make(at: MmRef, options: VmaOptions): VmaRef {
    const { memory } = this;
    const fresh = this.alloc();
    if (fresh === 0) return 0;
    memory.writeFloat64(fresh + vma.start, options.start);
    memory.writeFloat64(fresh + vma.end, options.end);
    memory.writeFloat64(fresh + vma.pgoff, options.pgoff);
    memory.write(fresh + vma.mm, at);
    memory.write(fresh + vma.flags, options.flags);
    memory.write(fresh + vma.file, options.file ?? 0);
    memory.write(fresh + vma.ops, options.ops ?? 0);
    memory.store(fresh + vma.lockSeq, memory.read(at + mm.lockSeq) - 1);
    // With counted readers it is 0 references that say so.
    memory.store(fresh + vma.detached, 1);
    return fresh;
  }

  /** Like `old` in everything but its links, for `at`; or 0.  Linux: vm_area_dup. */
  duplicate(at: MmRef, old: VmaRef): VmaRef {
    const { memory } = this;
    const fresh = this.make(at, {
      start: this.startOf(old),
      end: this.endOf(old),
      flags: this.flagsOf(old),
      pgoff: this.pgoffOf(old),
      file: memory.read(old + vma.file),
      ops: memory.read(old + vma.ops),
    });
    if (fresh !== 0) memory.write(fresh + vma.policy, memory.read(old + vma.policy));
    return fresh;
  }

  /** Frees a VMA that is in no tree; look-ups may still see it for a while.  Linux: vm_area_free. */
  free(at: VmaRef): void {
    reached("vma-free-before-grace");
    if (isTypesafe || freesAtOnce) this.freeNow(at);
    else this.rcu.call(at + vma.rcu, this.freeFunction);
  }

  /** Puts a VMA where nothing is; 0, or -ENOMEM and nothing has changed.  Linux: vma_link, vma_iter_store. */
  link(at: MmRef, area: VmaRef): number {
    const reserved = this.reserve(at, this.startOf(area), this.endOf(area), area);
    if (reserved === null) return -Errno.ENOMEM;
    this.linkReserved(at, area, reserved);
    return 0;
  }

  linkReserved(at: MmRef, area: VmaRef, reserved: Reserved): void {
    this.locks.startWrite(area);
    this.locks.attach(area);
    this.trees.commit(reserved);
    this.countMaps(at, 1);
  }

  countMaps(at: MmRef, change: number): void {
    this.memory.write(at + mm.mapCount, this.memory.read(at + mm.mapCount) + change);
  }

  /** Tree nodes for storing `area`, or nothing (0), over [start, end); null when there is no memory. */
  reserve(at: MmRef, start: number, end: number, area: VmaRef): Reserved | null {
    return this.trees.reserve(at + mm.tree, start, end - 1, area, Gfp.KERNEL);
  }

  /** Marks a VMA that has left the tree.  Linux: vma_mark_detached.  @holds mmap_lock */
  detach(area: VmaRef): void {
    this.locks.detach(area);
  }

  /**
   * Cuts a VMA in two at `address`; the new one is the lower or the upper.  0, or -ENOMEM and nothing has changed.
   * Linux: __split_vma.
   */
  split(at: MmRef, area: VmaRef, address: number, newBelow: boolean): number {
    const { memory } = this;
    const [start, end] = [this.startOf(area), this.endOf(area)];
    if (!(start < address && address < end)) bug(`split at ${address} of a VMA from ${start} to ${end}`);
    const fresh = this.duplicate(at, area);
    if (fresh === 0) return -Errno.ENOMEM;
    const upperPgoff = this.pgoffOf(area) + (address - start) / PAGE_BYTES;
    if (newBelow) memory.writeFloat64(fresh + vma.end, address);
    else {
      memory.writeFloat64(fresh + vma.start, address);
      memory.writeFloat64(fresh + vma.pgoff, upperPgoff);
    }
    const reserved = this.reserve(at, this.startOf(fresh), this.endOf(fresh), fresh);
    if (reserved === null || !this.cloneAnon(fresh, area)) {
      if (reserved !== null) this.trees.abandon(reserved);
      this.freeNow(fresh);
      return -Errno.ENOMEM;
    }
    this.locks.startWrite(area);
    // Truncation finds the new VMA before the old one loses its part: twice does no harm.
    this.opened(fresh);
    this.moveBounds({ area, start: newBelow ? address : start, end: newBelow ? end : address });
    this.linkReserved(at, fresh, reserved);
    return 0;
  }

  /** Gives a VMA of the same address space the anonymous maps of `from`; false without memory.  @holds mmap_lock */
  cloneAnon(to: VmaRef, from: VmaRef): boolean {
    this.memory.store(to + vma.anonVma, this.memory.load(from + vma.anonVma));
    return this.anonVmas.clone(to, from);
  }

  /** The same, unless the address space has as many VMAs as it may.  Linux: split_vma. */
  splitLimited(at: MmRef, area: VmaRef, address: number, newBelow: boolean): number {
    if (this.memory.read(at + mm.mapCount) >= this.maxMapCount) return -Errno.ENOMEM;
    return this.split(at, area, address, newBelow);
  }

  /** Gives write-locked VMAs other bounds at once; page offsets go with the starts.  The tree is the caller's. */
  moveBounds(...moves: readonly VmaMove[]): void {
    const { memory, anonVmas } = this;
    const areas = moves.map(({ area }) => area);
    this.hooks?.beginMove(areas);
    anonVmas.beginMove(areas);
    for (const { area, start, end } of moves) {
      const pgoff = this.pgoffOf(area) + (start - this.startOf(area)) / PAGE_BYTES;
      memory.writeFloat64(area + vma.start, start);
      memory.writeFloat64(area + vma.end, end);
      memory.writeFloat64(area + vma.pgoff, pgoff);
    }
    anonVmas.endMove(areas);
    this.hooks?.endMove(areas);
  }

  // ---- checks ----

  /** M1 to M3 but for the sums, and each VMA's anonymous maps; the VMAs in order. */
  check(at: MmRef): VmaRef[] {
    const { memory } = this;
    const entries = this.trees.check(at + mm.tree);
    for (const { first, last, entry } of entries) {
      const [start, end] = [this.startOf(entry), this.endOf(entry)];
      const where = `VMA at word ${entry}`;
      if (start !== first || end !== last + 1)
        bug(`M1 ${where}: it is ${start} to ${end}, the tree has ${first} to ${last}`);
      if (start % PAGE_BYTES !== 0 || end % PAGE_BYTES !== 0) bug(`M1 ${where}: not whole pages`);
      if (memory.read(entry + vma.mm) !== at) bug(`M1 ${where}: of another mm`);
      if (this.locks.isDetached(entry)) bug(`M3 ${where}: in the tree, and detached`);
      this.locks.checkVma(entry);
      this.anonVmas.check(entry);
    }
    const said = memory.read(at + mm.mapCount);
    if (said !== entries.length) bug(`M2 mm at word ${at}: ${entries.length} VMAs, it says ${said}`);
    return entries.map(({ entry }) => entry);
  }

  // ---- parts ----

  private alloc(): VmaRef {
    const { memory, slabs, caches } = this;
    const fresh = slabs.alloc(caches.vma, Gfp.KERNEL | GfpFlag.ZERO);
    if (fresh === 0) return 0;
    if (!isTypesafe) {
      const lock = slabs.alloc(caches.vmaLock, Gfp.KERNEL);
      if (lock === 0) {
        slabs.free(caches.vma, fresh);
        return 0;
      }
      this.rwsems.format(lock + VmaLock.sem, LockClass.VMA);
      memory.write(fresh + vma.lock, lock);
    }
    listInit(memory, fresh + vma.chain);
    return fresh;
  }

  private freeNow(at: VmaRef): void {
    const { memory, slabs, caches } = this;
    if (!isTypesafe) slabs.free(caches.vmaLock, memory.read(at + vma.lock));
    slabs.free(caches.vma, at);
  }
}
