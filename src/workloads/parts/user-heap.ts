/**
 * A program's malloc, as far as a kernel sees it: when it asks for memory and when it gives memory back.
 *
 *   large blocks        a mapping each, gone when they are freed; the bound is 128 KiB at first, and what was freed once moves it up
 *   the main arena      the heap: its end goes up by what is missing and 128 KiB more, and down when so much is free at the top
 *   a thread's arena    64 MiB of addresses without rights; mprotect opens them from below, what is free at the top is given
 *                       back by madvise
 *
 * Within an arena: the first free run that is large enough, else the top; neighbours that are free are one.  A block begins with
 * two words of its own, the size and a mark, which is where memory is touched first.
 *
 * After glibc malloc/malloc.c sysmalloc, systrim, munmap_chunk and malloc/arena.c new_heap, grow_heap, shrink_heap.
 * Differs: no bins, no per-thread cache of small blocks, one heap an arena.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";
import { Madvice } from "../../process/madvise.ts";
import { MapFlag } from "../../process/mmap.ts";
import { pageAlign } from "../../process/page-align.ts";
import { Prot } from "../../process/vm-flags.ts";
import type { UserProgram } from "./user-program.ts";

const KIB = 1024;
const MAX_MMAP_THRESHOLD = 32 * KIB * KIB;
const TOP_PAD = 128 * KIB;
const ARENA_BYTES = 64 * KIB * KIB;
/** Bytes of a block's header, and what sizes are multiples of. */
const HEADER = 16;
/** A page at least stays at the top. */
const MIN_TOP = PAGE_BYTES;
const MARK = 0x6d61_6c6c;

/** Free bytes within the arena. */
interface Run {
  start: number;
  size: number;
}

export class UserHeap {
  private readonly kernel: Kernel;
  private readonly program: UserProgram;
  /** The heap, or a mapping with its rights. */
  private readonly isMain: boolean;
  private readonly start: number;
  /** First byte that is not used, and the end of what may be. */
  private top: number;
  private end: number;
  private readonly runs: Run[] = [];
  private mmapThreshold = 128 * KIB;
  private trimThreshold = 128 * KIB;

  /** `heap`: where the process's heap begins; 0 for a thread's arena. */
  constructor(kernel: Kernel, program: UserProgram, heap: number) {
    this.kernel = kernel;
    this.program = program;
    this.isMain = heap !== 0;
    this.start = this.isMain ? heap : this.reserve();
    this.top = this.start;
    this.end = this.start;
  }

  /** The address of so many bytes, or 0 when there is no memory. */
  malloc(bytes: number): number {
    const size = Math.ceil(bytes / HEADER) * HEADER + HEADER;
    if (size >= this.mmapThreshold) return this.mapBlock(size);
    const at = this.runs.findIndex((run) => run.size >= size);
    if (at < 0) return this.fromTop(size);
    const run = this.runs[at];
    const block = run.start;
    run.start += size;
    run.size -= size;
    if (run.size === 0) this.runs.splice(at, 1);
    return this.begin(block, size, MARK);
  }

  free(address: number): void {
    const { user } = this.kernel.paging;
    const block = address - HEADER;
    const size = user.read(block);
    const mark = user.read(block + WORD_BYTES);
    if (mark === MARK + 1) this.unmapBlock(block, size);
    else if (mark === MARK) this.giveBack(block, size);
    else bug(`cpu ${this.kernel.cpu.id}: free of 0x${address.toString(16)}, which is no block`);
  }

  /** Gives all of the arena back. */
  finish(): void {
    const { calls } = this.kernel.processes;
    if (this.isMain) this.setBreak(this.start);
    else calls.munmap(this.program.mm, this.start, ARENA_BYTES);
  }

  // ---- large blocks ----

  private mapBlock(size: number): number {
    const { calls } = this.kernel.processes;
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
    const bytes = pageAlign(size);
    const prot = Prot.READ | Prot.WRITE;
    const block = calls.mmap(this.program.mm, { address: 0, bytes, prot, flags, file: null, offset: 0 });
    return block < 0 ? 0 : this.begin(block, bytes, MARK + 1);
  }

  private unmapBlock(block: number, size: number): void {
    if (size > this.mmapThreshold && size <= MAX_MMAP_THRESHOLD) {
      this.mmapThreshold = size;
      this.trimThreshold = 2 * size;
    }
    this.program.unmap(block, size / PAGE_BYTES);
  }

  // ---- the arena ----

  private begin(block: number, size: number, mark: number): number {
    const { user } = this.kernel.paging;
    user.write(block, size);
    user.write(block + WORD_BYTES, mark);
    return block + HEADER;
  }

  private fromTop(size: number): number {
    const missing = this.top + size + MIN_TOP - this.end;
    if (missing > 0 && !this.grow(pageAlign(missing + (this.isMain ? TOP_PAD : 0)))) return 0;
    const block = this.top;
    this.top += size;
    return this.begin(block, size, MARK);
  }

  private giveBack(start: number, size: number): void {
    const { runs } = this;
    let at = runs.findIndex((run) => run.start > start);
    if (at < 0) at = runs.length;
    runs.splice(at, 0, { start, size });
    this.join(at);
    if (at > 0) this.join(at - 1);
    const last = runs[runs.length - 1];
    if (last.start + last.size === this.top) {
      runs.pop();
      this.top = last.start;
    }
    if (this.end - this.top >= this.trimThreshold) this.trim();
  }

  /** A run and the next one, if they touch. */
  private join(at: number): void {
    const [run, next] = [this.runs[at], this.runs[at + 1]];
    if (next === undefined || run.start + run.size !== next.start) return;
    run.size += next.size;
    this.runs.splice(at + 1, 1);
  }

  private grow(bytes: number): boolean {
    const { calls } = this.kernel.processes;
    if (this.isMain) return this.setBreak(this.end + bytes);
    if (this.end + bytes > this.start + ARENA_BYTES) return false;
    if (calls.mprotect(this.program.mm, this.end, bytes, Prot.READ | Prot.WRITE) !== 0) return false;
    this.end += bytes;
    return true;
  }

  private trim(): void {
    const keep = pageAlign(this.top + MIN_TOP + (this.isMain ? TOP_PAD : 0));
    if (keep >= this.end) return;
    if (this.isMain) {
      this.setBreak(keep);
      return;
    }
    const { calls } = this.kernel.processes;
    const result = calls.madvise(this.program.mm, keep, this.end - keep, Madvice.DONTNEED);
    if (result !== 0) bug(`cpu ${this.kernel.cpu.id}: madvise of an arena's top gives ${result}`);
    this.end = keep;
  }

  private setBreak(end: number): boolean {
    if (this.kernel.processes.calls.brk(this.program.mm, end) !== end) return false;
    this.end = end;
    return true;
  }

  /** Addresses without rights, on a multiple of their size.  glibc: new_heap. */
  private reserve(): number {
    const { calls } = this.kernel.processes;
    const { mm } = this.program;
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE;
    const bytes = 2 * ARENA_BYTES;
    const wide = calls.mmap(mm, { address: 0, bytes, prot: 0, flags, file: null, offset: 0 });
    if (wide < 0) bug(`cpu ${this.kernel.cpu.id}: mmap of an arena gives ${wide}`);
    const start = Math.ceil(wide / ARENA_BYTES) * ARENA_BYTES;
    if (start > wide) calls.munmap(mm, wide, start - wide);
    const behind = wide + bytes - (start + ARENA_BYTES);
    if (behind > 0) calls.munmap(mm, start + ARENA_BYTES, behind);
    return start;
  }
}
