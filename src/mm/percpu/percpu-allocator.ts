/**
 * The per-CPU allocator: pieces in chunks, which come when none has room and go when nobody needs them.
 *
 *   alloc   pcpu_alloc_mutex -> pcpu_lock: the fullest chunk that has room -> a new chunk -> its pages, if they are not
 *           there -> zero on every CPU.  Who cannot wait takes neither the mutex nor new pages.
 *   free    pcpu_lock; by any CPU, in any context.  Chunks and pages that are not needed any more are the balance's.
 *
 * Invariants, while pcpu_lock is free: check-percpu.
 * Lock order: pcpu_alloc_mutex -> pcpu_lock.  See docs/LOCKING.md.
 * Linux: mm/percpu.c pcpu_alloc, free_percpu.  Differs: no memory cgroups, no signals that end a wait for the mutex; a
 * piece is at most a unit, which may be smaller than PCPU_MIN_UNIT_SIZE here.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { StackFrame } from "../../hardware/stack-frames.ts";
import type { Topology } from "../../hardware/topology.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import { FRAME_WORDS, PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { Mutexes } from "../../sync/mutex.ts";
import type { PerCpuSource, PerCpuStats } from "../../sync/percpu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { BootRecord } from "../boot/boot-info.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { Balance } from "./balance.ts";
import { ChunkArea } from "./chunk-area.ts";
import { ChunkLists, FAIL_THRESHOLD } from "./chunk-lists.ts";
import { ChunkPages } from "./chunk-pages.ts";
import { formatFirstChunk } from "./first-chunk.ts";
import { type ChunkRef, PcpuChunk } from "./pcpu-chunk.ts";
import { PerCpuCounts } from "./percpu-counts.ts";
import { type PcpuSlots, PcpuState } from "./percpu-state.ts";
import { PerCpuWindow, type WindowPlan } from "./percpu-window.ts";

const checks = shape.checks;
const state = PcpuState;
const chunkField = PcpuChunk;
const { KERNEL } = Gfp;
const { NORETRY, NOWARN } = GfpFlag;

/** Linux: PCPU_MIN_UNIT_SIZE, the largest piece. */
const MAX_ALLOC_BYTES = 32 << 10;
/** Linux: PCPU_EMPTY_POP_PAGES_LOW. */
const EMPTY_PAGES_LOW = 2;
/** What `take` answers when it finds nothing. */
const NO_RESERVED = -1;
const NO_SPACE = -2;
const NO_CHUNK = -3;
const NO_PAGES = -4;
const REASONS: Readonly<Record<number, string>> = {
  [NO_RESERVED]: "alloc from reserved chunk failed",
  [NO_SPACE]: "atomic alloc failed, no space left",
  [NO_CHUNK]: "failed to allocate new chunk",
  [NO_PAGES]: "failed to populate",
};

/** A free changes the maps without their lock. */
const freesUnlocked = mutant("pcpu-unlocked-free");
/** Pages are populated without the mutex. */
const populatesAlone = mutant("pcpu-populate-no-mutex");

export interface PerCpuParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly mutexes: Mutexes;
  readonly pages: PageAllocator;
  readonly slots: PcpuSlots;
  readonly record: BootRecord;
  readonly topology: Topology;
  readonly image: { readonly mm: { readonly plan: { readonly perCpuWindow: WindowPlan } } };
  /** Writes to the kernel log. */
  readonly report: (text: string) => void;
}

/** A request, in words. */
interface Request {
  readonly words: number;
  readonly alignWords: number;
  readonly isAtomic: boolean;
  readonly fromReserved: boolean;
  readonly gfp: number;
}

export class PerCpuAllocator implements PerCpuSource {
  readonly base: Pointer;
  readonly lists: ChunkLists;
  readonly area: ChunkArea;
  readonly chunkPages: ChunkPages;
  readonly window: PerCpuWindow;
  /** Bytes of a unit, and how many there are. */
  readonly unitBytes: number;
  readonly units: number;
  readonly strideWords: number;
  readonly record: BootRecord;
  private readonly parts: PerCpuParts;
  private readonly memory: Memory;
  private readonly balancer: Balance;
  private readonly counts: PerCpuCounts;
  private readonly lock: Pointer;
  private readonly mutex: Pointer;

  constructor(parts: PerCpuParts) {
    const { cpu, record } = parts;
    const nodes = parts.topology.cpuNode;
    this.parts = parts;
    this.memory = cpu.memory;
    this.record = record;
    this.base = parts.slots.state.address;
    this.lock = this.base + state.lock;
    this.mutex = this.base + state.mutex;
    this.units = nodes.length;
    this.strideWords = record.unitWords;
    const unitWords = record.perCpuWords + record.reservedWords + record.dynamicWords;
    this.unitBytes = unitWords * WORD_BYTES;
    this.window = new PerCpuWindow(parts.image.mm.plan.perCpuWindow, {
      cpus: this.units,
      unitWords,
      strideWords: record.unitWords,
    });
    this.counts = new PerCpuCounts(this.memory, this.base);
    this.lists = new ChunkLists(this.memory, this.base, this.unitBytes);
    this.area = new ChunkArea(this.memory, (chunk, by) => this.lists.changeEmpty(chunk, by));
    const { base, memory, window, strideWords, area, lists } = this;
    const unitPages = unitWords / FRAME_WORDS;
    const shared = { base, memory, lists };
    this.chunkPages = new ChunkPages({
      ...shared,
      pages: parts.pages,
      window,
      area,
      unitPages,
      strideWords,
      nodes,
    });
    this.balancer = new Balance({
      ...shared,
      cpu,
      locks: parts.locks,
      mutexes: parts.mutexes,
      pages: this.chunkPages,
      insert: (chunk) => this.insertChunk(chunk),
      remove: () => this.counts.chunkGone(),
    });
  }

  /** First state, on the boot CPU; RAM is zero. */
  format(): void {
    formatFirstChunk(this, this.parts);
  }

  // ---- allocation ----

  alloc(sizeBytes: number, alignBytes: number, gfp: number = KERNEL): Pointer {
    return this.allocFrom(sizeBytes, alignBytes, gfp, false);
  }

  allocReserved(sizeBytes: number, alignBytes: number): Pointer {
    return this.allocFrom(sizeBytes, alignBytes, KERNEL, true);
  }

  free(pointer: Pointer): void {
    const { memory, lists } = this;
    const chunk = this.chunkOf(pointer);
    reached("pcpu-unlocked-free");
    const flags = freesUnlocked ? this.parts.cpu.irqSave() : this.parts.locks.lockIrqSave(this.lock);
    this.freePiece(chunk, pointer - memory.read(chunk + chunkField.base));
    const isIsolated = memory.read(chunk + chunkField.isolated) !== 0;
    let isNeeded = false;
    if (!isIsolated && lists.isUnused(chunk)) {
      // One unused chunk is kept.
      const first = lists.first(lists.free);
      isNeeded = first !== chunk || lists.next(first, lists.free) !== 0;
    } else if (lists.shouldReclaim(chunk)) {
      lists.isolate(chunk);
      isNeeded = true;
    }
    if (freesUnlocked) this.parts.cpu.irqRestore(flags);
    else this.parts.locks.unlockIrqRestore(this.lock, flags);
    if (isNeeded) this.balancer.queue();
    this.balancer.runQueued();
  }

  /** Balances chunks and pages now.  @may-sleep */
  balance(): void {
    this.balancer.run();
  }

  /** Runs a balance that is queued, where the caller may sleep.  Linux: flush_work. */
  flushBalance(): void {
    this.balancer.runQueued();
  }

  /** The chunk that a piece is in.  Linux: pcpu_chunk_addr_search. */
  chunkOf(pointer: Pointer): ChunkRef {
    const { memory, base } = this;
    const area = this.window.areaOf(pointer);
    const chunk = area < 0 ? this.bootChunkOf(pointer) : memory.read(base + state.areas + area);
    if (chunk === 0) bug(`free_percpu: word ${pointer} is not dynamic per-CPU memory`);
    return chunk;
  }

  /** Every chunk, at rest. */
  allChunks(): ChunkRef[] {
    const { lists, base } = this;
    const found = this.memory.read(base + state.hasReserved) === 0 ? [] : [base + state.reserved];
    for (let list = 0; list < lists.count; list++)
      for (let chunk = lists.first(list); chunk !== 0; chunk = lists.next(chunk, list)) found.push(chunk);
    return found;
  }

  // ---- reports ----

  /** Populated pages of all units.  Linux: pcpu_nr_pages. */
  get nrPages(): number {
    return this.memory.read(this.base + state.nrPopulated) * this.units;
  }

  stats(): PerCpuStats {
    return this.counts.read();
  }

  // ---- alloc ----

  private allocFrom(sizeBytes: number, alignBytes: number, gfp: number, fromReserved: boolean): Pointer {
    const { memory, parts, base } = this;
    const align = Math.max(alignBytes, WORD_BYTES);
    const most = Math.min(MAX_ALLOC_BYTES, this.unitBytes);
    if (!(sizeBytes > 0 && sizeBytes <= most) || align > PAGE_BYTES || (align & (align - 1)) !== 0)
      bug(
        `illegal size (${sizeBytes}) or align (${alignBytes}) for percpu allocation: valid are sizes of 1 to ${most}, ` +
          `powers of two up to ${PAGE_BYTES}`,
      );
    const isAtomic = (gfp & KERNEL) !== KERNEL;
    const words = Math.ceil(sizeBytes / WORD_BYTES);
    const request = { words, alignWords: align / WORD_BYTES, isAtomic, fromReserved, gfp };
    if (checks) parts.cpu.stack.enter(StackFrame.PCPU_ALLOC);
    const pointer = isAtomic ? this.take(request) : this.takeWithPages(request);
    if (checks) parts.cpu.stack.leave(StackFrame.PCPU_ALLOC);
    if (pointer <= 0) {
      this.fail(request, pointer);
      return 0;
    }
    if (memory.read(base + state.nrEmptyPopPages) < EMPTY_PAGES_LOW) this.balancer.queue();
    for (let unit = 0; unit < this.units; unit++) memory.fill(pointer + unit * this.strideWords, words, 0);
    if (!isAtomic || !parts.cpu.inAtomic) this.balancer.runQueued();
    return pointer;
  }

  /** A piece whose pages are there, or a reason.  @may-sleep @takes pcpu_alloc_mutex */
  private takeWithPages(request: Request): number {
    const { mutexes } = this.parts;
    mutexes.lock(this.mutex);
    const pointer = this.take(request);
    reached("pcpu-populate-no-mutex");
    if (populatesAlone) mutexes.unlock(this.mutex);
    const populated = pointer <= 0 || this.populateRange(pointer, request);
    if (!populatesAlone) mutexes.unlock(this.mutex);
    return populated ? pointer : NO_PAGES;
  }

  /** A piece of the fullest chunk that has room, or a reason.  Who may wait makes a chunk when there is none. */
  private take(request: Request): number {
    const { lists, parts } = this;
    for (;;) {
      const flags = parts.locks.lockIrqSave(this.lock);
      const pointer = request.fromReserved ? this.takeReserved(request) : this.takeListed(request);
      const mustGrow = pointer === 0 && lists.isEmpty(lists.free);
      parts.locks.unlockIrqRestore(this.lock, flags);
      if (pointer !== 0) return pointer;
      if (request.isAtomic) return NO_SPACE;
      // Chunks are made under the mutex alone: the search is repeated, since pieces may have come back.
      if (!mustGrow) continue;
      const chunk = this.chunkPages.create(request.gfp & (KERNEL | NORETRY | NOWARN));
      if (chunk === 0) return NO_CHUNK;
      const again = parts.locks.lockIrqSave(this.lock);
      this.insertChunk(chunk);
      parts.locks.unlockIrqRestore(this.lock, again);
    }
  }

  /** @holds pcpu_lock */
  private takeReserved(request: Request): number {
    const { memory, base } = this;
    if (memory.read(base + state.hasReserved) === 0) return this.takeListed(request);
    const { words, alignWords, isAtomic } = request;
    const from = this.area.search.find(base + state.reserved, words, alignWords, isAtomic);
    return (from >= 0 && this.takeAt(base + state.reserved, request, from)) || NO_RESERVED;
  }

  /** @holds pcpu_lock */
  private takeListed(request: Request): Pointer {
    const { lists } = this;
    for (let list = lists.sizeToList(request.words * WORD_BYTES); list <= lists.free; list++) {
      for (let chunk = lists.first(list); chunk !== 0; ) {
        const next = lists.next(chunk, list);
        const { words, alignWords, isAtomic } = request;
        const from = this.area.search.find(chunk, words, alignWords, isAtomic);
        const pointer = from < 0 ? 0 : this.takeAt(chunk, request, from);
        if (pointer !== 0) {
          lists.reintegrate(chunk);
          return pointer;
        }
        if (from < 0 && list < FAIL_THRESHOLD) lists.move(chunk, 0);
        chunk = next;
      }
    }
    return 0;
  }

  /** @holds pcpu_lock */
  private takeAt(chunk: ChunkRef, { words, alignWords }: Request, from: number): Pointer {
    const { memory, lists } = this;
    const before = lists.listOf(chunk);
    const bit = this.area.alloc(chunk, words, alignWords, from);
    if (bit < 0) return 0;
    lists.relocate(chunk, before);
    this.counts.allocated(chunk, words * WORD_BYTES);
    return memory.read(chunk + chunkField.base) + bit;
  }

  /** Populates what lacks of the piece's pages; when there is no memory the piece is given back. */
  private populateRange(pointer: Pointer, { words, gfp }: Request): boolean {
    const { memory, chunkPages, parts } = this;
    const chunk = this.chunkOf(pointer);
    const bit = pointer - memory.read(chunk + chunkField.base);
    const end = Math.ceil((bit + words) / FRAME_WORDS);
    const populated = chunkPages.populatedMap(chunk);
    for (let from = populated.nextClear(Math.floor(bit / FRAME_WORDS)); from < end; ) {
      const to = Math.min(end, populated.nextSet(from));
      const isThere = chunkPages.populate(chunk, from, to, gfp & (KERNEL | NORETRY | NOWARN));
      const flags = parts.locks.lockIrqSave(this.lock);
      if (isThere) chunkPages.markPopulated(chunk, from, to);
      else this.freePiece(chunk, bit);
      parts.locks.unlockIrqRestore(this.lock, flags);
      if (!isThere) return false;
      from = populated.nextClear(to);
    }
    return true;
  }

  private fail({ words, alignWords, isAtomic, gfp }: Request, reason: number): void {
    const { memory, base, parts } = this;
    if ((gfp & NOWARN) === 0 && memory.load(base + state.warnings) > 0) {
      const left = memory.add(base + state.warnings, -1) - 1;
      parts.report(
        `percpu: allocation failed, size=${words * WORD_BYTES} align=${alignWords * WORD_BYTES} ` +
          `atomic=${isAtomic ? 1 : 0}, ${REASONS[reason]}`,
      );
      if (left === 0) parts.report("percpu: limit reached, disable warning");
    }
    if (!isAtomic) return;
    memory.write(base + state.atomicFailed, 1);
    this.balancer.queue();
    this.balancer.runQueued();
  }

  /** @holds pcpu_lock */
  private freePiece(chunk: ChunkRef, bit: number): void {
    const before = this.lists.listOf(chunk);
    this.area.free(chunk, bit);
    this.lists.relocate(chunk, before);
    this.counts.freed(chunk);
  }

  private bootChunkOf(pointer: Pointer): ChunkRef {
    const { memory, base } = this;
    for (const chunk of [base + state.first, base + state.reserved]) {
      const bit = pointer - memory.read(chunk + chunkField.base);
      const end =
        memory.read(chunk + chunkField.pages) * FRAME_WORDS - memory.read(chunk + chunkField.endOffset);
      if (bit >= memory.read(chunk + chunkField.startOffset) && bit < end) return chunk;
    }
    return 0;
  }

  /** @holds pcpu_lock */
  private insertChunk(chunk: ChunkRef): void {
    this.lists.insert(chunk);
    this.counts.chunkMade();
  }
}
