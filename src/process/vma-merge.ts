/**
 * Merging VMAs: a new range into its neighbours, or a changed one.
 *
 * Two neighbours merge if they have the same flags, file, functions and policy, their page offsets go on, neither is
 * special, and their anonymous maps fit: they are the same, or one has none and the other's is its alone (else every
 * child of a fork would pull its siblings' pages into one tree).
 *
 *      prev      range     next           prev grows over the range, next grows down over it, or prev takes both
 *   |--------|..........|--------|
 *
 * Linux: mm/vma.c vma_merge_new_range, vma_merge_existing_range, can_vma_merge_before, can_vma_merge_after,
 * is_mergeable_vma, is_mergeable_anon_vma, dup_anon_vma, commit_merge.  The rule of anonymous maps is 6.18's.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_ACCESS, VM_IGNORED_IN_MERGE, VM_SPECIAL } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const vma = VmArea;

/** What would be there: like a VMA, but of no object. */
export interface MergeRange {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly pgoff: number;
  readonly file: number;
  readonly ops: number;
  readonly policy: number;
  readonly anonVma: number;
  /** The VMA that has the range now; 0 for a new one. */
  readonly middle: VmaRef;
  /** The VMA elsewhere whose pages will be moved into the range. */
  readonly copiedFrom?: VmaRef;
}

/** 0: nothing merges; -ENOMEM; else the VMA that has the range now. */
export type MergeResult = number;

export class VmaMerge {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;

  constructor(vmas: Vmas) {
    this.memory = vmas.memory;
    this.vmas = vmas;
  }

  /** Merges a range where nothing is, or a whole VMA (`middle`) whose properties are to be `range`'s.  @holds mmap_lock */
  merge(at: MmRef, range: MergeRange): MergeResult {
    const { vmas } = this;
    if ((range.flags & VM_SPECIAL) !== 0) return 0;
    const below = vmas.before(at, range.start);
    const prev = below !== 0 && vmas.endOf(below) === range.start ? below : 0;
    const above = vmas.lookup(at, range.end);
    const next = above !== 0 && vmas.startOf(above) === range.end ? above : 0;
    const left =
      prev !== 0 &&
      this.isLike(prev, range) &&
      this.pgoffAfter(prev) === range.pgoff &&
      this.fits(prev, range);
    const pgoffNext = range.pgoff + (range.end - range.start) / PAGE_BYTES;
    const right =
      next !== 0 && this.isLike(next, range) && vmas.pgoffOf(next) === pgoffNext && this.fits(next, range);
    const both = left && right && this.canShare(prev, next);
    if (both)
      return this.commit(at, prev, [range.middle, next], {
        ...range,
        start: vmas.startOf(prev),
        end: vmas.endOf(next),
      });
    if (left) return this.commit(at, prev, [range.middle], { ...range, start: vmas.startOf(prev) });
    if (right) return this.commit(at, next, [range.middle], { ...range, end: vmas.endOf(next) });
    return 0;
  }

  /** What `area` is, with other flags for all of it or, after a split, for what is left. */
  rangeOf(area: VmaRef, flags: number, policy = this.memory.read(area + vma.policy)): MergeRange {
    const { memory, vmas } = this;
    return {
      start: vmas.startOf(area),
      end: vmas.endOf(area),
      flags,
      policy,
      pgoff: vmas.pgoffOf(area),
      file: memory.read(area + vma.file),
      ops: memory.read(area + vma.ops),
      anonVma: memory.load(area + vma.anonVma),
      middle: area,
    };
  }

  /**
   * The VMA that has [start, end) of `area` alone, with `flags`: merged with its neighbours or cut out; or -ENOMEM.  The
   * caller sets the flags of a VMA that comes back unmerged.  Linux: vma_modify, vma_modify_flags.  @holds mmap_lock
   */
  modify(at: MmRef, area: VmaRef, start: number, end: number, flags: number): number {
    const { vmas } = this;
    const whole = this.rangeOf(area, flags);
    const isWhole = start === whole.start && end === whole.end;
    const pgoff = whole.pgoff + (start - whole.start) / PAGE_BYTES;
    const merged = isWhole ? this.merge(at, whole) : this.mergePart(at, { ...whole, start, end, pgoff });
    if (merged !== 0) return merged;
    if (start > whole.start) {
      const error = vmas.splitLimited(at, area, start, true);
      if (error !== 0) return error;
    }
    if (end < whole.end) {
      const error = vmas.splitLimited(at, area, end, false);
      if (error !== 0) return error;
    }
    return area;
  }

  /** A part at one end of a VMA goes to the neighbour there: the boundary between the two moves. */
  private mergePart(at: MmRef, range: MergeRange): MergeResult {
    const { vmas } = this;
    const { middle } = range;
    if ((range.flags & VM_SPECIAL) !== 0) return 0;
    const atStart = range.start === vmas.startOf(middle);
    const atEnd = range.end === vmas.endOf(middle);
    const below = atStart ? vmas.before(at, range.start) : 0;
    const above = atEnd ? vmas.lookup(at, range.end) : 0;
    const prev = below !== 0 && vmas.endOf(below) === range.start ? below : 0;
    const next = above !== 0 && vmas.startOf(above) === range.end ? above : 0;
    const pgoffNext = range.pgoff + (range.end - range.start) / PAGE_BYTES;
    const toPrev =
      prev !== 0 &&
      this.isLike(prev, range) &&
      this.pgoffAfter(prev) === range.pgoff &&
      this.fits(prev, range);
    const toNext =
      !toPrev &&
      next !== 0 &&
      this.isLike(next, range) &&
      vmas.pgoffOf(next) === pgoffNext &&
      this.fits(next, range);
    if (!toPrev && !toNext) return 0;
    const target = toPrev ? prev : next;
    const grown = toPrev
      ? { start: vmas.startOf(prev), end: range.end }
      : { start: range.start, end: vmas.endOf(next) };
    const reserved = vmas.reserve(at, grown.start, grown.end, target);
    if (reserved === null) return -Errno.ENOMEM;
    vmas.locks.startWrite(target);
    vmas.locks.startWrite(middle);
    if (!this.shareAnon(target, middle)) {
      vmas.trees.abandon(reserved);
      return -Errno.ENOMEM;
    }
    const [lower, upper] = [vmas.startOf(middle), vmas.endOf(middle)];
    const rest = toPrev ? { start: range.end, end: upper } : { start: lower, end: range.start };
    vmas.moveBounds({ area: target, ...grown }, { area: middle, ...rest });
    vmas.trees.commit(reserved);
    return target;
  }

  /** `target` takes [start, end) over; the VMAs that it swallows go.  Linux: commit_merge, vma_complete. */
  private commit(at: MmRef, target: VmaRef, swallowed: readonly VmaRef[], range: MergeRange): MergeResult {
    const { vmas } = this;
    const gone = swallowed.filter((area) => area !== 0 && area !== target);
    const reserved = vmas.reserve(at, range.start, range.end, target);
    if (reserved === null) return -Errno.ENOMEM;
    vmas.locks.startWrite(target);
    for (const area of gone) vmas.locks.startWrite(area);
    const { copiedFrom = 0 } = range;
    for (const area of copiedFrom === 0 ? gone : [copiedFrom, ...gone]) {
      if (this.shareAnon(target, area)) continue;
      vmas.trees.abandon(reserved);
      return -Errno.ENOMEM;
    }
    vmas.moveBounds({ area: target, start: range.start, end: range.end });
    vmas.trees.commit(reserved);
    for (const area of gone) {
      vmas.detach(area);
      vmas.anonVmas.unlink(area);
      vmas.closed(area);
      vmas.free(area);
    }
    vmas.countMaps(at, -gone.length);
    return target;
  }

  /**
   * A neighbour's anon_vma, for a VMA that needs its first: if the two could be merged but for their access rights, which
   * may change again.  0 if there is none.  Linux: find_mergeable_anon_vma, reusable_anon_vma, anon_vma_compatible.
   */
  reusableAnonVma(at: MmRef, area: VmaRef): number {
    const { memory, vmas } = this;
    const own = this.rangeOf(area, vmas.flagsOf(area) & ~VM_ACCESS);
    const isFit = (lower: VmaRef, upper: VmaRef, neighbour: VmaRef): boolean =>
      vmas.endOf(lower) === vmas.startOf(upper) &&
      this.isLike(neighbour, { ...own, flags: own.flags | (vmas.flagsOf(neighbour) & VM_ACCESS) }) &&
      vmas.pgoffOf(upper) === this.pgoffAfter(lower) &&
      vmas.anonVmas.isSingular(neighbour);
    const next = vmas.lookup(at, vmas.endOf(area));
    if (next !== 0 && isFit(area, next, next)) return memory.load(next + vma.anonVma);
    const prev = vmas.before(at, vmas.startOf(area));
    return prev !== 0 && isFit(prev, area, prev) ? memory.load(prev + vma.anonVma) : 0;
  }

  // ---- may they merge ----

  private pgoffAfter(area: VmaRef): number {
    return this.vmas.pgoffOf(area) + this.vmas.pagesOf(area);
  }

  /** Linux: is_mergeable_vma. */
  private isLike(area: VmaRef, range: MergeRange): boolean {
    const { memory } = this;
    return (
      ((memory.read(area + vma.flags) ^ range.flags) & ~VM_IGNORED_IN_MERGE) === 0 &&
      memory.read(area + vma.file) === range.file &&
      memory.read(area + vma.ops) === range.ops &&
      memory.read(area + vma.policy) === range.policy
    );
  }

  /** Linux: is_mergeable_anon_vma. */
  private fits(area: VmaRef, range: MergeRange): boolean {
    const { vmas } = this;
    const theirs = this.memory.load(area + vma.anonVma);
    if (theirs === range.anonVma) return true;
    if (theirs === 0) {
      const source = range.middle === 0 ? (range.copiedFrom ?? 0) : range.middle;
      return source === 0 || vmas.anonVmas.isSingular(source);
    }
    return range.anonVma === 0 && vmas.anonVmas.isSingular(area);
  }

  /** Whether prev and next, between which the range lies, could be one. */
  private canShare(prev: VmaRef, next: VmaRef): boolean {
    const [one, other] = [this.memory.load(prev + vma.anonVma), this.memory.load(next + vma.anonVma)];
    return one === other || one === 0 || other === 0;
  }

  /** Gives `to` the anonymous maps of `from`, if it has none.  Linux: dup_anon_vma. */
  private shareAnon(to: VmaRef, from: VmaRef): boolean {
    const { memory, vmas } = this;
    const theirs = memory.load(from + vma.anonVma);
    if (theirs === 0 || memory.load(to + vma.anonVma) !== 0) return true;
    memory.store(to + vma.anonVma, theirs);
    return vmas.anonVmas.clone(to, from);
  }
}
