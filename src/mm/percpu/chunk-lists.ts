/**
 * Which list a chunk is on: by how much of it is free, so that allocations fill the fullest chunk that may have room.
 *
 *   0                        full, or not worth another look
 *   1 ...                    by the highest bit of the free bytes; 1 is for less than 32
 *   sidelined                isolated, with no empty page left to give back
 *   free                     nothing is handed out
 *   to_depopulate            isolated: empty pages are given back soon
 *
 * Linux: mm/percpu.c pcpu_chunk_slot, pcpu_chunk_relocate, pcpu_isolate_chunk, pcpu_reintegrate_chunk,
 * pcpu_update_empty_pages.
 */

import { listAdd, listAddTail, listDel, listDelInit, listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";
import { CHUNK_LISTS, PcpuState } from "./percpu-state.ts";

const state = PcpuState;
const block = PcpuBlock;
const chunkField = PcpuChunk;

/** Linux: PCPU_SLOT_BASE_SHIFT. */
const BASE_SHIFT = 5;
/** A chunk on a list below this one that had no room goes to list 0.  Linux: PCPU_SLOT_FAIL_THRESHOLD. */
export const FAIL_THRESHOLD = 3;
/** Linux: PCPU_EMPTY_POP_PAGES_HIGH. */
export const EMPTY_PAGES_HIGH = 4;
const NOWHERE = -1;

/** Linux: __pcpu_size_to_slot. */
const sizeClass = (bytes: number): number => Math.max(32 - Math.clz32(bytes) - BASE_SHIFT + 2, 1);

export class ChunkLists {
  /** Numbers of the lists that have a meaning of their own; there are `count`. */
  readonly sidelined: number;
  readonly free: number;
  readonly toDepopulate: number;
  readonly count: number;
  private readonly memory: Memory;
  private readonly base: Pointer;
  private readonly unitBytes: number;

  /** `base`: the `pcpu_state`. */
  constructor(memory: Memory, base: Pointer, unitBytes: number) {
    this.memory = memory;
    this.base = base;
    this.unitBytes = unitBytes;
    this.sidelined = sizeClass(unitBytes) + 1;
    this.free = this.sidelined + 1;
    this.toDepopulate = this.free + 1;
    this.count = this.toDepopulate + 1;
  }

  format(): void {
    for (let list = 0; list < CHUNK_LISTS; list++) listInit(this.memory, this.head(list));
  }

  head(list: number): Pointer {
    return this.base + state.lists + list * 2;
  }

  /** The list for `bytes` to be allocated, or free.  Linux: pcpu_size_to_slot. */
  sizeToList(bytes: number): number {
    return bytes === this.unitBytes ? this.free : sizeClass(bytes);
  }

  /** The list that a chunk belongs on by what is free in it.  Linux: pcpu_chunk_slot. */
  listOf(chunk: ChunkRef): number {
    const { memory } = this;
    const freeBytes = memory.read(chunk + chunkField.freeWords) * WORD_BYTES;
    if (freeBytes === 0 || memory.read(chunk + chunkField.whole + block.contigHint) === 0) return 0;
    return this.sizeToList(freeBytes);
  }

  /** Puts a new chunk on its list.  @holds pcpu_lock */
  insert(chunk: ChunkRef): void {
    listInit(this.memory, chunk + chunkField.list);
    this.relocate(chunk, NOWHERE);
  }

  /** After what is free has changed; it belonged on `before`.  Linux: pcpu_chunk_relocate.  @holds pcpu_lock */
  relocate(chunk: ChunkRef, before: number): void {
    if (this.memory.read(chunk + chunkField.isolated) !== 0) return;
    const list = this.listOf(chunk);
    if (list === before) return;
    if (before < list) this.move(chunk, list);
    else this.moveTail(chunk, list);
  }

  /** First on `list`.  Linux: pcpu_chunk_move. */
  move(chunk: ChunkRef, list: number): void {
    if (this.isReserved(chunk)) return;
    listDel(this.memory, chunk + chunkField.list);
    listAdd(this.memory, chunk + chunkField.list, this.head(list));
  }

  moveTail(chunk: ChunkRef, list: number): void {
    if (this.isReserved(chunk)) return;
    listDel(this.memory, chunk + chunkField.list);
    listAddTail(this.memory, chunk + chunkField.list, this.head(list));
  }

  /** On no list any more.  @holds pcpu_lock */
  leave(chunk: ChunkRef): void {
    listDelInit(this.memory, chunk + chunkField.list);
  }

  isEmpty(list: number): boolean {
    return listIsEmpty(this.memory, this.head(list));
  }

  /** The first chunk of `list`, or 0. */
  first(list: number): ChunkRef {
    const head = this.head(list);
    const link = this.memory.read(head);
    return link === head ? 0 : link - chunkField.list;
  }

  /** The chunk after `chunk` on `list`, or 0. */
  next(chunk: ChunkRef, list: number): ChunkRef {
    const link = this.memory.read(chunk + chunkField.list);
    return link === this.head(list) ? 0 : link - chunkField.list;
  }

  /** Its pages are to be given back: nobody allocates from it if there is another.  Linux: pcpu_isolate_chunk. */
  isolate(chunk: ChunkRef): void {
    const { memory } = this;
    if (memory.read(chunk + chunkField.isolated) === 0) {
      memory.write(chunk + chunkField.isolated, 1);
      this.addEmpty(-memory.read(chunk + chunkField.nrEmptyPopPages));
    }
    this.move(chunk, this.toDepopulate);
  }

  /** It is used again.  Linux: pcpu_reintegrate_chunk. */
  reintegrate(chunk: ChunkRef): void {
    const { memory } = this;
    if (memory.read(chunk + chunkField.isolated) === 0) return;
    memory.write(chunk + chunkField.isolated, 0);
    this.addEmpty(memory.read(chunk + chunkField.nrEmptyPopPages));
    this.relocate(chunk, NOWHERE);
  }

  /** Counts populated pages that become empty, or no longer are.  Linux: pcpu_update_empty_pages. */
  changeEmpty(chunk: ChunkRef, by: number): void {
    const { memory } = this;
    const at = chunk + chunkField.nrEmptyPopPages;
    memory.write(at, memory.read(at) + by);
    if (!this.isReserved(chunk) && memory.read(chunk + chunkField.isolated) === 0) this.addEmpty(by);
  }

  /** Whether enough empty pages lie in this chunk to give them back.  Linux: pcpu_should_reclaim_chunk. */
  shouldReclaim(chunk: ChunkRef): boolean {
    const { memory } = this;
    if (memory.read(chunk + chunkField.immutable) !== 0) return false;
    const empty = memory.read(chunk + chunkField.nrEmptyPopPages);
    if (memory.read(chunk + chunkField.isolated) !== 0) return empty !== 0;
    return (
      memory.read(this.base + state.nrEmptyPopPages) > EMPTY_PAGES_HIGH + empty &&
      empty >= Math.floor(memory.read(chunk + chunkField.pages) / 4)
    );
  }

  /** Whether nothing of the chunk is handed out. */
  isUnused(chunk: ChunkRef): boolean {
    return this.memory.read(chunk + chunkField.freeWords) * WORD_BYTES === this.unitBytes;
  }

  /** The list on which chunks begin that have a page free. */
  get pageList(): number {
    return this.sizeToList(PAGE_BYTES);
  }

  private isReserved(chunk: ChunkRef): boolean {
    return chunk === this.base + state.reserved;
  }

  private addEmpty(by: number): void {
    const at = this.base + state.nrEmptyPopPages;
    this.memory.write(at, this.memory.read(at) + by);
  }
}
