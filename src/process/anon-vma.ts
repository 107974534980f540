/**
 * Anonymous reverse maps: from a page to the VMAs that may map it.
 *
 * The first anonymous page of a VMA gives it an anon_vma; pages name theirs.  A fork gives each child VMA an anon_vma of its
 * own below its parent's, and links it to all of the parent's, so that a page is found in every process that may have it
 * but new pages of a child are looked for in the child only.
 *
 *   vma.chain ──► anon_vma_chain ──► in the interval tree of an anon_vma          one for each pair
 *
 * Invariants, while the root's lock is free
 *   A1  every chain is on its VMA's list and in its anon_vma's tree, by the VMA's page offsets
 *   A2  activeVmas == VMAs that name the anon_vma; children == anon_vmas that name it as parent
 *   A3  all anon_vmas of a VMA have one root
 *
 * Lock order: mmap_lock -> anon_vma.lock (of the root) -> page_table_lock.
 * Linux: mm/rmap.c.  Differs: an anon_vma is not reused while its lock is held, since nobody holds it without a reference.
 */

import { bug } from "../memory/bug.ts";
import { listAdd, listDel, listIsEmpty } from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import type { Pointer } from "../memory/units.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { MmContext } from "../mm/pgtable/mm-context.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { FunctionId, Functions } from "../sync/functions.ts";
import { LockClass } from "../sync/lock-class.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { IntervalTree } from "./interval-tree.ts";
import type { ProcessCaches } from "./process-caches.ts";
import { AnonVma, AnonVmaChain, contextOf, VmArea, type VmaRef } from "./vm-area.ts";

/** Word index of an anon_vma. */
export type AnonVmaRef = Pointer;

const anon = AnonVma;
const chain = AnonVmaChain;
const vma = VmArea;
/** An anon_vma is installed without a look whether another fault was first. */
const installsBlindly = mutant("anon-vma-no-recheck");

export interface AnonVmaParts {
  readonly memory: Memory;
  readonly rwsems: RwSemaphores;
  readonly locks: SpinLocks;
  readonly slabs: SlabCaches;
  readonly caches: ProcessCaches;
  readonly functions: Functions;
}

export class AnonVmas {
  declare private readonly memory: Memory;
  declare private readonly rwsems: RwSemaphores;
  declare private readonly locks: SpinLocks;
  declare private readonly slabs: SlabCaches;
  declare private readonly caches: ProcessCaches;
  declare private readonly intervals: IntervalTree;
  /** For the cache of anon_vmas. */
  declare readonly construct: FunctionId;

  constructor(parts: AnonVmaParts) {
    const { memory } = parts;
    this.memory = memory;
    this.rwsems = parts.rwsems;
    this.locks = parts.locks;
    this.slabs = parts.slabs;
    this.caches = parts.caches;
    this.construct = parts.functions.register("anon_vma_ctor", (_cpu, object) =>
      this.rwsems.format(object + anon.lock, LockClass.ANON_VMA),
    );
    const vmaOf = (node: Pointer): VmaRef => memory.read(node - chain.node + chain.vma);
    this.intervals = new IntervalTree({
      memory,
      subtreeLast: chain.subtreeLast - chain.node,
      firstOf: (node) => memory.readFloat64(vmaOf(node) + vma.pgoff),
      lastOf: (node) => lastPage(memory, vmaOf(node)),
    });
  }

  /**
   * Gives `at` an anon_vma: `mergeable`, a neighbour's with which it could be merged, or a new one.  False when there is
   * no memory.  mmap_lock is held for reading, so two faults may come at once.  Linux: __anon_vma_prepare.
   */
  prepare(at: VmaRef, mergeable: AnonVmaRef): boolean {
    const { memory, locks } = this;
    if (memory.load(at + vma.anonVma) !== 0) return true;
    const link = this.slabs.alloc(this.caches.chain, Gfp.KERNEL);
    if (link === 0) return false;
    const fresh = mergeable === 0 ? this.make() : 0;
    const chosen = mergeable === 0 ? fresh : mergeable;
    if (chosen === 0) {
      this.slabs.free(this.caches.chain, link);
      return false;
    }
    if (fresh !== 0) memory.write(fresh + anon.children, 1); // its own parent
    const tableLock = contextOf(memory.read(at + vma.mm)) + MmContext.pageTableLock;
    this.lock(chosen);
    locks.lock(tableLock);
    reached("anon-vma-no-recheck");
    const isFirst = installsBlindly || memory.load(at + vma.anonVma) === 0;
    if (isFirst) {
      memory.store(at + vma.anonVma, chosen);
      this.link(at, link, chosen);
      this.count(chosen, anon.activeVmas, 1);
    }
    locks.unlock(tableLock);
    this.unlock(chosen);
    if (isFirst) return true;
    this.slabs.free(this.caches.chain, link);
    if (fresh !== 0) this.put(fresh);
    return true;
  }

  /**
   * Links `to` to all anon_vmas of `from`.  False, and nothing is linked, when there is no memory.
   * Linux: anon_vma_clone.  @holds mmap_lock
   */
  clone(to: VmaRef, from: VmaRef): boolean {
    const { memory } = this;
    for (const link of this.chainsOf(from).toReversed()) {
      const fresh = this.slabs.alloc(this.caches.chain, Gfp.KERNEL);
      if (fresh === 0) {
        // What `unlink` takes back was never counted.
        memory.store(to + vma.anonVma, 0);
        this.unlink(to);
        return false;
      }
      const ref = memory.read(link + chain.anonVma);
      this.lock(ref);
      this.link(to, fresh, ref);
      // An anon_vma of an ancestor that nobody else uses may serve again: a long line of forks does not grow for ever.
      const isSpare = memory.read(ref + anon.children) < 2 && memory.read(ref + anon.activeVmas) === 0;
      const wants = memory.load(to + vma.anonVma) === 0 && memory.load(from + vma.anonVma) !== 0;
      if (wants && isSpare && ref !== memory.load(from + vma.anonVma)) memory.store(to + vma.anonVma, ref);
      this.unlock(ref);
    }
    const own = memory.load(to + vma.anonVma);
    if (own !== 0) {
      this.lock(own);
      this.count(own, anon.activeVmas, 1);
      this.unlock(own);
    }
    return true;
  }

  /** Gives the child's VMA what its parent's has, and an anon_vma of its own.  Linux: anon_vma_fork.  @holds mmap_lock */
  fork(child: VmaRef, parent: VmaRef): boolean {
    const { memory } = this;
    const above = memory.load(parent + vma.anonVma);
    if (above === 0) return true;
    memory.store(child + vma.anonVma, 0);
    if (!this.clone(child, parent)) return false;
    if (memory.load(child + vma.anonVma) !== 0) return true;
    const own = this.make();
    const link = own === 0 ? 0 : this.slabs.alloc(this.caches.chain, Gfp.KERNEL);
    if (link === 0) {
      if (own !== 0) this.put(own);
      this.unlink(child);
      return false;
    }
    const root = memory.read(above + anon.root);
    memory.write(own + anon.activeVmas, 1);
    memory.write(own + anon.root, root);
    memory.write(own + anon.parent, above);
    this.get(root);
    memory.store(child + vma.anonVma, own);
    this.lock(own);
    this.link(child, link, own);
    this.count(above, anon.children, 1);
    this.unlock(own);
    return true;
  }

  /** A VMA that goes away leaves all its anon_vmas; those nobody is in end.  Linux: unlink_anon_vmas.  @holds mmap_lock */
  unlink(at: VmaRef): void {
    const { memory, slabs, caches } = this;
    const links = this.chainsOf(at);
    const ended: AnonVmaRef[] = [];
    const [first] = links;
    if (first === undefined) return;
    const root = memory.read(memory.read(first + chain.anonVma) + anon.root);
    this.get(root);
    this.lock(root);
    for (const link of links) {
      const ref = memory.read(link + chain.anonVma);
      this.intervals.remove(ref + anon.tree, link + chain.node);
      if (memory.read(ref + anon.tree) === 0) {
        this.count(memory.read(ref + anon.parent), anon.children, -1);
        ended.push(ref);
      }
      listDel(memory, link + chain.link);
      slabs.free(caches.chain, link);
    }
    const own = memory.load(at + vma.anonVma);
    if (own !== 0) this.count(own, anon.activeVmas, -1);
    memory.store(at + vma.anonVma, 0);
    this.unlock(root);
    for (const ref of ended) {
      if (memory.read(ref + anon.activeVmas) !== 0)
        bug(`A2 anon_vma at word ${ref} ends with VMAs that name it`);
      this.put(ref);
    }
    this.put(root);
  }

  /** The bounds of these VMAs, of one root, are about to change: they leave the trees, whose lock is held till `endMove`. */
  beginMove(areas: readonly VmaRef[]): void {
    const own = this.anyOf(areas);
    if (own === 0) return;
    this.lock(own);
    for (const link of areas.flatMap((at) => this.chainsOf(at)))
      this.intervals.remove(this.memory.read(link + chain.anonVma) + anon.tree, link + chain.node);
  }

  endMove(areas: readonly VmaRef[]): void {
    const own = this.anyOf(areas);
    if (own === 0) return;
    for (const link of areas.flatMap((at) => this.chainsOf(at)))
      this.intervals.insert(this.memory.read(link + chain.anonVma) + anon.tree, link + chain.node);
    this.unlock(own);
  }

  /** Whether the VMA's anon_vma is its alone, not one of a fork.  Linux: list_is_singular(&vma->anon_vma_chain). */
  isSingular(at: VmaRef): boolean {
    const { memory } = this;
    const head = at + vma.chain;
    const first = memory.read(head);
    return first !== head && memory.read(first) === head;
  }

  /** Calls `visit` with every VMA that may map the pages [first, last] of an anon_vma.  @holds anon_vma.lock */
  forEachVma(ref: AnonVmaRef, first: number, last: number, visit: (at: VmaRef) => void): void {
    this.intervals.forEach(ref + anon.tree, first, last, (node) =>
      visit(this.memory.read(node - chain.node + chain.vma)),
    );
  }

  // ---- references and locks ----

  lock(ref: AnonVmaRef): void {
    this.rwsems.writeLock(this.memory.read(ref + anon.root) + anon.lock);
  }
  unlock(ref: AnonVmaRef): void {
    this.rwsems.writeUnlock(this.memory.read(ref + anon.root) + anon.lock);
  }

  get(ref: AnonVmaRef): void {
    this.memory.add(ref + anon.refcount, 1);
  }

  /** Takes a reference unless there is none left; in an RCU section.  Linux: atomic_inc_not_zero(&anon_vma->refcount). */
  tryGet(ref: AnonVmaRef): boolean {
    const { memory } = this;
    for (let seen = memory.load(ref + anon.refcount); seen !== 0; ) {
      const found = memory.cas(ref + anon.refcount, seen, seen + 1);
      if (found === seen) return true;
      seen = found;
    }
    return false;
  }

  /** Linux: put_anon_vma, __put_anon_vma. */
  put(ref: AnonVmaRef): void {
    const { memory, slabs, caches } = this;
    if (memory.add(ref + anon.refcount, -1) !== 1) return;
    const root = memory.read(ref + anon.root);
    slabs.free(caches.anonVma, ref);
    if (root !== ref && memory.add(root + anon.refcount, -1) === 1) slabs.free(caches.anonVma, root);
  }

  // ---- checks ----

  /** A1 to A3 of one VMA, at rest. */
  check(at: VmaRef): void {
    const { memory } = this;
    const own = memory.load(at + vma.anonVma);
    const links = this.chainsOf(at);
    const where = `VMA at word ${at}`;
    const refs = links.map((link) => memory.read(link + chain.anonVma));
    if ((own === 0) !== (links.length === 0)) bug(`A1 ${where}: anon_vma ${own} with ${links.length} chains`);
    if (own !== 0 && !refs.includes(own)) bug(`A1 ${where}: none of its chains leads to its anon_vma`);
    const roots = new Set(refs.map((ref) => memory.read(ref + anon.root)));
    if (roots.size > 1) bug(`A3 ${where}: anon_vmas of ${roots.size} roots`);
    for (const [i, link] of links.entries()) {
      if (memory.read(link + chain.vma) !== at) bug(`A1 ${where}: a chain of another VMA`);
      const nodes = this.intervals.check(refs[i] + anon.tree, `anon_vma at word ${refs[i]}`);
      if (!nodes.includes(link + chain.node)) bug(`A1 ${where}: not in the tree of anon_vma ${refs[i]}`);
      const active = nodes.filter((node) => {
        const other = memory.read(node - chain.node + chain.vma);
        return memory.load(other + vma.anonVma) === refs[i];
      });
      const said = memory.read(refs[i] + anon.activeVmas);
      if (active.length !== said)
        bug(`A2 anon_vma at word ${refs[i]}: ${active.length} VMAs name it, it says ${said}`);
    }
  }

  // ---- parts ----

  /** A new anon_vma, its own root and parent, or 0.  Linux: anon_vma_alloc. */
  private make(): AnonVmaRef {
    const { memory } = this;
    const ref = this.slabs.alloc(this.caches.anonVma, Gfp.KERNEL);
    if (ref === 0) return 0;
    memory.write(ref + anon.root, ref);
    memory.write(ref + anon.parent, ref);
    memory.write(ref + anon.children, 0);
    memory.write(ref + anon.activeVmas, 0);
    memory.write(ref + anon.tree, 0);
    memory.store(ref + anon.refcount, 1);
    return ref;
  }

  private anyOf(areas: readonly VmaRef[]): AnonVmaRef {
    for (const at of areas) {
      const own = this.memory.load(at + vma.anonVma);
      if (own !== 0) return own;
    }
    return 0;
  }

  private chainsOf(at: VmaRef): Pointer[] {
    const { memory } = this;
    const head = at + vma.chain;
    const found: Pointer[] = [];
    if (memory.read(head) === 0 || listIsEmpty(memory, head)) return found;
    for (let link = memory.read(head); link !== head; link = memory.read(link)) found.push(link - chain.link);
    return found;
  }

  /** Linux: anon_vma_chain_link.  @holds anon_vma.lock */
  private link(at: VmaRef, link: Pointer, ref: AnonVmaRef): void {
    const { memory } = this;
    memory.write(link + chain.vma, at);
    memory.write(link + chain.anonVma, ref);
    listAdd(memory, link + chain.link, at + vma.chain);
    this.intervals.insert(ref + anon.tree, link + chain.node);
  }

  private count(ref: AnonVmaRef, field: number, change: number): void {
    this.memory.write(ref + field, this.memory.read(ref + field) + change);
  }
}

function lastPage(memory: Memory, at: VmaRef): number {
  const bytes = memory.readFloat64(at + vma.end) - memory.readFloat64(at + vma.start);
  return memory.readFloat64(at + vma.pgoff) + bytes / PAGE_BYTES - 1;
}
