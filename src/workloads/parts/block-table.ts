/**
 * A table of blocks in RAM that all CPUs share: one word an entry, in single pages, so that it needs no large block.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Random } from "../../memory/random.ts";
import { FRAME_WORDS, frameOf, NO_PFN, type Pfn, type Pointer } from "../../memory/units.ts";
import { nameWords } from "./named.ts";
import { GFP } from "./page-share.ts";

const CHUNK_SHIFT = Math.log2(FRAME_WORDS);

/** Frames of a table, the same on every CPU: plain data. */
export type TableFrames = readonly Pfn[];

export function takeTable(kernel: Kernel, entries: number): TableFrames {
  return Array.from({ length: Math.ceil(entries / FRAME_WORDS) }, () => {
    const pfn = kernel.pages.allocPage(GFP);
    if (pfn === NO_PFN) bug(`the table of ${entries} blocks does not fit the machine's memory`);
    return pfn;
  });
}

export function freeTable(kernel: Kernel, frames: TableFrames): void {
  for (const pfn of frames) kernel.pages.freePage(pfn);
}

export function nameTable(kernel: Kernel, frames: TableFrames): void {
  for (const pfn of frames) nameWords(kernel, "block_table", frameOf(pfn), FRAME_WORDS);
}

/** One CPU's view.  Entries are handed over at gates, so plain accesses do. */
export class BlockTable {
  private readonly memory: Memory;
  private readonly chunks: readonly Pointer[];

  constructor(memory: Memory, frames: TableFrames) {
    this.memory = memory;
    this.chunks = frames.map(frameOf);
  }

  get(index: number): Pfn {
    return this.memory.read(this.wordOf(index));
  }

  set(index: number, pfn: Pfn): void {
    this.memory.write(this.wordOf(index), pfn);
  }

  /** Puts the first `entries` entries in a random order (Fisher and Yates). */
  shuffle(entries: number, random: Random): void {
    for (let i = entries - 1; i > 0; i--) {
      const j = random.below(i + 1);
      const pfn = this.get(i);
      this.set(i, this.get(j));
      this.set(j, pfn);
    }
  }

  private wordOf(index: number): Pointer {
    return this.chunks[index >> CHUNK_SHIFT] + (index & (FRAME_WORDS - 1));
  }
}
