/**
 * The balance of per-CPU memory: chunks that nobody uses go, empty pages of chunks hardly used go, and a few empty pages
 * are kept for those who cannot wait.
 *
 * Linux runs it on a worker thread, whenever it is queued.  There is none here: who queues it outside an interrupt and
 * with interrupts on runs it before it returns; what is queued elsewhere waits for the next such call, or until a CPU
 * leaves the run.
 *
 * Linux: mm/percpu.c pcpu_balance_workfn, pcpu_balance_free, pcpu_reclaim_populated, pcpu_balance_populated.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { StackFrame } from "../../hardware/stack-frames.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Mutexes } from "../../sync/mutex.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { type ChunkLists, EMPTY_PAGES_HIGH } from "./chunk-lists.ts";
import type { ChunkPages } from "./chunk-pages.ts";
import { BLOCK_BITS, BLOCK_WORDS, type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";
import { PcpuState } from "./percpu-state.ts";

const checks = shape.checks;
const state = PcpuState;
const block = PcpuBlock;
const chunkField = PcpuChunk;
const BALANCE_GFP = Gfp.KERNEL | GfpFlag.NORETRY | GfpFlag.NOWARN;
/** A chunk whose pages go is still on the list where allocations look. */
const staysListed = mutant("pcpu-reclaim-listed");

export interface BalanceParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly mutexes: Mutexes;
  /** The `pcpu_state`. */
  readonly base: Pointer;
  readonly lists: ChunkLists;
  readonly pages: ChunkPages;
  /** Puts a chunk that was just made on its list.  @holds pcpu_lock */
  readonly insert: (chunk: ChunkRef) => void;
  /** Counts a chunk that goes.  @holds pcpu_lock */
  readonly remove: () => void;
}

export class Balance {
  private readonly parts: BalanceParts;
  private readonly memory: Memory;
  private readonly lists: ChunkLists;
  private readonly lock: Pointer;

  constructor(parts: BalanceParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.lists = parts.lists;
    this.lock = parts.base + state.lock;
  }

  /** Linux: pcpu_schedule_balance_work. */
  queue(): void {
    this.memory.store(this.parts.base + state.balanceQueued, 1);
  }

  /** Runs what is queued, where the caller may sleep. */
  runQueued(): void {
    const at = this.parts.base + state.balanceQueued;
    if (this.memory.load(at) === 0 || this.parts.cpu.inAtomic) return;
    if (this.memory.exchange(at, 0) !== 0) this.run();
  }

  /** Linux: pcpu_balance_workfn.  @may-sleep @takes pcpu_alloc_mutex, pcpu_lock */
  run(): void {
    const { mutexes, base, cpu } = this.parts;
    if (checks) cpu.stack.enter(StackFrame.PCPU_BALANCE);
    mutexes.lock(base + state.mutex);
    this.freeChunks(false);
    this.reclaimPages();
    this.fillReserve();
    this.freeChunks(true);
    mutexes.unlock(base + state.mutex);
    if (checks) cpu.stack.leave(StackFrame.PCPU_BALANCE);
  }

  /** Frees the unused chunks but the first one; `emptyOnly`: those without a page.  Linux: pcpu_balance_free. */
  private freeChunks(emptyOnly: boolean): void {
    const { memory, lists } = this;
    const going: ChunkRef[] = [];
    const flags = this.take();
    const kept = lists.first(lists.free);
    for (let chunk = kept; chunk !== 0; chunk = lists.next(chunk, lists.free)) {
      if (chunk === kept) continue;
      if (!emptyOnly || memory.read(chunk + chunkField.nrEmptyPopPages) === 0) going.push(chunk);
    }
    for (const chunk of going) lists.leave(chunk);
    this.give(flags);
    for (const chunk of going) this.freeChunk(chunk);
  }

  private freeChunk(chunk: ChunkRef): void {
    const { pages, remove } = this.parts;
    const populated = pages.populatedMap(chunk);
    for (let from = populated.nextSet(0); from < populated.bits; ) {
      const to = populated.nextClear(from);
      pages.depopulate(chunk, from, to);
      const flags = this.take();
      pages.markDepopulated(chunk, from, to);
      this.give(flags);
      from = populated.nextSet(to);
    }
    const flags = this.take();
    remove();
    this.give(flags);
    pages.destroy(chunk);
  }

  /** Takes empty pages from isolated chunks, from the end of each, while there are enough elsewhere.  Linux: pcpu_reclaim_populated. */
  private reclaimPages(): void {
    const { lists } = this;
    let flags = this.take();
    for (;;) {
      const chunk = lists.first(lists.toDepopulate);
      if (chunk === 0) break;
      reached("pcpu-reclaim-listed");
      if (staysListed) lists.moveTail(chunk, lists.listOf(chunk));
      let mustReturn = false;
      for (let end = this.memory.read(chunk + chunkField.pages); ; ) {
        if (this.memory.read(chunk + chunkField.nrEmptyPopPages) === 0) break;
        if (this.memory.read(this.parts.base + state.nrEmptyPopPages) < EMPTY_PAGES_HIGH) {
          mustReturn = true;
          break;
        }
        const run = this.lastEmptyRun(chunk, end);
        if (run === null) break;
        this.give(flags);
        this.parts.pages.depopulate(chunk, run.from, run.to);
        flags = this.take();
        this.parts.pages.markDepopulated(chunk, run.from, run.to);
        end = run.from;
      }
      if (mustReturn || lists.isUnused(chunk)) lists.reintegrate(chunk);
      else lists.moveTail(chunk, lists.sidelined);
    }
    this.give(flags);
  }

  /** The last run of empty populated pages before page `end`. */
  private lastEmptyRun(chunk: ChunkRef, end: number): { from: number; to: number } | null {
    let to = end;
    while (to > 0 && !this.isEmptyPage(chunk, to - 1)) to--;
    if (to === 0) return null;
    let from = to - 1;
    while (from > 0 && this.isEmptyPage(chunk, from - 1)) from--;
    return { from, to };
  }

  private isEmptyPage(chunk: ChunkRef, page: number): boolean {
    const md = this.memory.read(chunk + chunkField.blocks) + page * BLOCK_WORDS;
    return (
      this.memory.read(md + block.contigHint) === BLOCK_BITS && this.parts.pages.populatedMap(chunk).has(page)
    );
  }

  /** Populates pages until EMPTY_PAGES_HIGH are empty.  Linux: pcpu_balance_populated. */
  private fillReserve(): void {
    const { parts, lists } = this;
    for (;;) {
      const flags = this.take();
      let wanted = this.wantedPages();
      this.give(flags);
      for (let list = lists.pageList; list <= lists.free && wanted > 0; list++)
        wanted = this.fillFrom(list, wanted);
      if (wanted <= 0) return;
      const chunk = parts.pages.create(BALANCE_GFP);
      if (chunk === 0) return;
      const again = this.take();
      parts.insert(chunk);
      this.give(again);
    }
  }

  /** After a failure as many as possible, else what is missing. */
  private wantedPages(): number {
    const { memory, parts } = this;
    if (memory.read(parts.base + state.atomicFailed) !== 0) {
      memory.write(parts.base + state.atomicFailed, 0);
      return EMPTY_PAGES_HIGH;
    }
    return Math.max(0, EMPTY_PAGES_HIGH - memory.read(parts.base + state.nrEmptyPopPages));
  }

  /** Populates pages of the first chunk on `list` that lacks some; what is still wanted, 0 after a failure. */
  private fillFrom(list: number, wanted: number): number {
    const { memory, lists, parts } = this;
    let flags = this.take();
    let chunk = lists.first(list);
    while (
      chunk !== 0 &&
      memory.read(chunk + chunkField.nrPopulated) === memory.read(chunk + chunkField.pages)
    )
      chunk = lists.next(chunk, list);
    this.give(flags);
    if (chunk === 0) return wanted;
    const populated = parts.pages.populatedMap(chunk);
    let left = wanted;
    for (let from = populated.nextClear(0); from < populated.bits && left > 0; ) {
      const to = Math.min(populated.nextSet(from), from + left);
      if (!parts.pages.populate(chunk, from, to, BALANCE_GFP)) return 0;
      flags = this.take();
      parts.pages.markPopulated(chunk, from, to);
      this.give(flags);
      left -= to - from;
      from = populated.nextClear(to);
    }
    return left;
  }

  private take(): number {
    return this.parts.locks.lockIrqSave(this.lock);
  }

  private give(flags: number): void {
    this.parts.locks.unlockIrqRestore(this.lock, flags);
  }
}
