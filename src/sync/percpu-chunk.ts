/**
 * One chunk of per-CPU memory: the same range of words in each CPU's unit, handed out in pieces of 4 bytes.
 *
 * A bit of `used` a word says whether it is handed out; a bit of `bounds` marks where a piece begins, and where the last
 * one before a gap ends, so that a piece needs no header.
 *
 * Invariants, while pcpu_lock is free
 *   C1  freeWords == zeros of `used`
 *   C2  firstFree <= the first zero of `used`
 *   C3  contigWords == the longest run of zeros of `used`
 *   C4  a bound lies at each end of a run of ones
 *
 * Linux: mm/percpu.c pcpu_alloc_area, pcpu_free_area.  Differs: hints for the whole chunk, not for each of its pages.
 */

import { Bitmap } from "../memory/bitmap.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";

export const ChunkState = struct("pcpu_chunk", {
  /** Of the range, in CPU 0's unit. */
  startWord: word("boot", "pointer:word"),
  words: word("boot", "counter"),
  freeWords: word("lock:pcpu_lock", "counter"),
  /** No word before this one is free. */
  firstFree: word("lock:pcpu_lock"),
  /** The longest free run, and one place where it lies. */
  contigWords: word("lock:pcpu_lock", "counter"),
  contigStart: word("lock:pcpu_lock"),
});
const chunk = ChunkState;

export interface ChunkPlace {
  readonly state: Pointer;
  readonly used: Pointer;
  readonly bounds: Pointer;
}

/** Words of a map of `words` bits, and one bit more for the last bound. */
export const mapWords = (words: number): number => (words >> 5) + 1;

export class PerCpuChunk {
  private readonly memory: Memory;
  private readonly place: ChunkPlace;

  constructor(memory: Memory, place: ChunkPlace) {
    this.memory = memory;
    this.place = place;
  }

  /** First state; RAM is zero. */
  format(startWord: Pointer, words: number): void {
    this.set(chunk.startWord, startWord);
    this.set(chunk.words, words);
    this.set(chunk.freeWords, words);
    this.set(chunk.contigWords, words);
  }

  get startWord(): Pointer {
    return this.get(chunk.startWord);
  }
  get words(): number {
    return this.get(chunk.words);
  }
  get freeWords(): number {
    return this.get(chunk.freeWords);
  }
  get contigWords(): number {
    return this.get(chunk.contigWords);
  }

  contains(pointer: Pointer): boolean {
    return pointer >= this.startWord && pointer < this.startWord + this.words;
  }

  /** The first free piece of `words` at an address divisible by `alignWords`: its place in CPU 0's unit, or 0. */
  alloc(words: number, alignWords: number): Pointer {
    if (words > this.contigWords) return 0;
    const start = this.firstFit(words, alignWords);
    if (start < 0) return 0;
    const { used, bounds } = this.maps();
    used.setRange(start, words);
    bounds.set(start);
    if (words > 1) bounds.clearRange(start + 1, words - 1);
    bounds.set(start + words);
    this.set(chunk.freeWords, this.freeWords - words);
    if (start === this.get(chunk.firstFree)) this.set(chunk.firstFree, used.nextClear(start + words));
    const contigStart = this.get(chunk.contigStart);
    if (start < contigStart + this.contigWords && start + words > contigStart) this.findLongestRun(used);
    return this.startWord + start;
  }

  /** Gives back what `alloc` has returned; its words. */
  free(pointer: Pointer): number {
    const start = pointer - this.startWord;
    const { used, bounds } = this.maps();
    if (!used.has(start) || !bounds.has(start)) {
      bug(`free_percpu: word ${start} of the chunk is ${used.has(start) ? "inside a piece" : "free"}`);
    }
    const words = bounds.nextSet(start + 1) - start;
    used.clearRange(start, words);
    this.set(chunk.freeWords, this.freeWords + words);
    if (start < this.get(chunk.firstFree)) this.set(chunk.firstFree, start);
    const runStart = used.lastSetBefore(start) + 1;
    const runWords = used.nextSet(start + words) - runStart;
    if (runWords > this.contigWords) {
      this.set(chunk.contigWords, runWords);
      this.set(chunk.contigStart, runStart);
    }
    return words;
  }

  /** C1 to C4. */
  check(name: string): void {
    const { used, bounds } = this.maps();
    let free = 0;
    let longest = 0;
    for (let at = used.nextClear(0); at < this.words; ) {
      const end = used.nextSet(at);
      if (at > 0 && !bounds.has(at)) bug(`${name}: no bound where the gap at ${at} begins`);
      if (end < this.words && !bounds.has(end)) bug(`${name}: no bound where the gap at ${at} ends`);
      free += end - at;
      longest = Math.max(longest, end - at);
      at = used.nextClear(end);
    }
    if (free !== this.freeWords) bug(`${name}: ${free} words are free, freeWords is ${this.freeWords}`);
    const first = used.nextClear(0);
    const firstFree = this.get(chunk.firstFree);
    if (firstFree > first) bug(`${name}: word ${first} is free, firstFree is ${firstFree}`);
    if (longest !== this.contigWords) {
      bug(`${name}: the longest free run has ${longest} words, contigWords is ${this.contigWords}`);
    }
  }

  /** Linux: pcpu_find_zero_area. */
  private firstFit(words: number, alignWords: number): number {
    const { used } = this.maps();
    const base = this.startWord;
    for (let at = used.nextClear(this.get(chunk.firstFree)); at + words <= this.words; ) {
      const start = at + ((alignWords - ((base + at) % alignWords)) % alignWords);
      const end = used.nextSet(start);
      if (end - start >= words) return start;
      at = used.nextClear(end);
    }
    return -1;
  }

  private findLongestRun(used: Bitmap): void {
    let longest = 0;
    let longestStart = 0;
    for (let at = used.nextClear(this.get(chunk.firstFree)); at < this.words; ) {
      const end = used.nextSet(at);
      if (end - at > longest) {
        longest = end - at;
        longestStart = at;
      }
      at = used.nextClear(end);
    }
    this.set(chunk.contigWords, longest);
    this.set(chunk.contigStart, longestStart);
  }

  private maps(): { used: Bitmap; bounds: Bitmap } {
    const { memory, place, words } = this;
    return {
      used: new Bitmap(memory, place.used, words),
      bounds: new Bitmap(memory, place.bounds, words + 1),
    };
  }

  private get(field: number): number {
    return this.memory.read(this.place.state + field);
  }

  private set(field: number, value: number): void {
    this.memory.write(this.place.state + field, value);
  }
}
