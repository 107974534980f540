/** Pieces of one chunk: the hints are true, and the search by hints finds what Linux's finds. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { updateBlock } from "../../../src/mm/percpu/block-hints.ts";
import { ChunkArea } from "../../../src/mm/percpu/chunk-area.ts";
import {
  allocMapWords,
  BLOCK_BITS,
  BLOCK_WORDS,
  boundMapWords,
  PcpuBlock,
  PcpuChunk,
} from "../../../src/mm/percpu/pcpu-chunk.ts";
import { soloCpu } from "../../support/solo.ts";

const CHUNK = 1024;
const MAPS = 2048;

function chunkOf(pages: number, hidden: { start: number; end: number } = { start: 0, end: 0 }) {
  const { memory } = soloCpu();
  let empty = pages;
  const area = new ChunkArea(memory, (_chunk, by) => {
    empty += by;
  });
  const write = (field: number, value: number): void => memory.write(CHUNK + field, value);
  const bounds = MAPS + 1 + allocMapWords(pages);
  write(PcpuChunk.pages, pages);
  write(PcpuChunk.populated, MAPS);
  memory.write(MAPS, 2 ** pages - 1);
  write(PcpuChunk.allocMap, MAPS + 1);
  write(PcpuChunk.boundMap, bounds);
  write(PcpuChunk.blocks, bounds + boundMapWords(pages));
  write(PcpuChunk.startOffset, hidden.start);
  write(PcpuChunk.endOffset, hidden.end);
  area.init(CHUNK);
  area.hideEnds(CHUNK);
  const alloc = (words: number, alignWords = 1, populatedOnly = false): number => {
    const from = area.search.find(CHUNK, words, alignWords, populatedOnly);
    return from < 0 ? -1 : area.alloc(CHUNK, words, alignWords, from);
  };
  const md = (page: number, field: number): number =>
    memory.read(bounds + boundMapWords(pages) + page * BLOCK_WORDS + field);
  const whole = (field: number): number => memory.read(CHUNK + PcpuChunk.whole + field);
  return {
    memory,
    area,
    alloc,
    free: (bit: number) => area.free(CHUNK, bit),
    md,
    whole,
    emptyPages: () => empty,
  };
}

/** What the hints of a page must be, from its words. */
function truthOf(used: readonly boolean[]): Record<string, number> {
  let [longest, left, right, run] = [0, 0, 0, 0];
  for (const [i, isUsed] of used.entries()) {
    run = isUsed ? 0 : run + 1;
    longest = Math.max(longest, run);
    if (run === i + 1) left = run;
    if (i === used.length - 1) right = run;
  }
  return { longest, left, right };
}

describe("the hints", () => {
  /** Goal: hints never lie.  Method: random pieces against an array of words, looked at after every step. */
  test("say of every page what its words say", () => {
    const PAGES = 3;
    const step = fc.oneof(
      fc.record({ words: fc.integer({ min: 1, max: 1500 }), alignShift: fc.integer({ min: 0, max: 6 }) }),
      fc.record({ words: fc.integer({ min: 1, max: 40 }), alignShift: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ free: fc.nat(100) }),
      fc.record({ free: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { area, alloc, free, md, whole, emptyPages } = chunkOf(PAGES, { start: 100, end: 60 });
        const used: boolean[] = Array.from({ length: PAGES * BLOCK_BITS }, (_, i) => i < 100 || i >= 3012);
        const out: { bit: number; words: number }[] = [];
        for (const s of steps) {
          if ("free" in s) {
            if (out.length === 0) continue;
            const [piece] = out.splice(s.free % out.length, 1);
            expect(free(piece.bit)).toBe(piece.words);
            used.fill(false, piece.bit, piece.bit + piece.words);
          } else {
            const bit = alloc(s.words, 1 << s.alignShift);
            if (bit < 0) continue;
            expect(bit % (1 << s.alignShift)).toBe(0);
            expect(used.slice(bit, bit + s.words)).not.toContain(true);
            used.fill(true, bit, bit + s.words);
            out.push({ bit, words: s.words });
          }
          for (let page = 0; page < PAGES; page++) {
            const truth = truthOf(used.slice(page * BLOCK_BITS, (page + 1) * BLOCK_BITS));
            expect({
              longest: md(page, PcpuBlock.contigHint),
              left: md(page, PcpuBlock.leftFree),
              right: md(page, PcpuBlock.rightFree),
            }).toEqual(truth);
          }
          const at = whole(PcpuBlock.contigHintStart);
          expect(used.slice(at, at + whole(PcpuBlock.contigHint))).not.toContain(true);
          const pages = [0, 1, 2].map((page) => used.slice(page * BLOCK_BITS, (page + 1) * BLOCK_BITS));
          expect(emptyPages()).toBe(pages.filter((words) => !words.includes(true)).length);
          expect(area.allocMap(CHUNK).nextClear(0)).toBe(
            used.indexOf(false) < 0 ? 3072 : used.indexOf(false),
          );
        }
      }),
      { seed: 4, numRuns: 60 },
    );
  });

  test("a run that was passed in a search is skipped by the next one", () => {
    const { alloc, free, md } = chunkOf(1);
    const pieces = [64, 8, 64, 8, 64].map((words) => alloc(words));
    free(pieces[1]);
    expect(md(0, PcpuBlock.firstFree)).toBe(64);
    expect(md(0, PcpuBlock.scanHint)).toBe(8);
    free(pieces[3]);
    // Both small runs lie before the large one at the end: a search for more begins behind the later of them.
    expect([md(0, PcpuBlock.scanHint), md(0, PcpuBlock.scanHintStart)]).toEqual([8, pieces[3]]);
    expect(alloc(10)).toBe(208);
    expect(alloc(8)).toBe(64);
  });

  test("of two longest runs the one at the rounder place is kept", () => {
    const { memory } = soloCpu();
    memory.write(CHUNK + PcpuBlock.bits, BLOCK_BITS);
    memory.write(CHUNK + PcpuBlock.firstFree, BLOCK_BITS);
    updateBlock(memory, CHUNK, 24, 40);
    updateBlock(memory, CHUNK, 64, 80);
    expect(memory.read(CHUNK + PcpuBlock.contigHintStart)).toBe(64);
    updateBlock(memory, CHUNK, 100, 116);
    expect(memory.read(CHUNK + PcpuBlock.contigHintStart)).toBe(64);
    expect(memory.read(CHUNK + PcpuBlock.scanHintStart)).toBe(100);
  });

  test("a run over the ends of pages is found", () => {
    const { alloc, free, md, emptyPages } = chunkOf(3);
    const [a, b, c] = [alloc(1000), alloc(1100), alloc(900)];
    expect([a, b, c]).toEqual([0, 1000, 2100]);
    expect(emptyPages()).toBe(0);
    free(b);
    expect(md(1, PcpuBlock.contigHint)).toBe(BLOCK_BITS);
    expect(emptyPages()).toBe(1);
    expect(alloc(1100)).toBe(1000);
  });

  test("as in Linux, the chunk's own hint misses a run that becomes free within a later page", () => {
    const { alloc, free, whole } = chunkOf(2);
    const pieces = Array.from({ length: 64 }, () => alloc(32));
    expect(whole(PcpuBlock.contigHint)).toBe(0);
    free(pieces[40]);
    expect(whole(PcpuBlock.contigHint)).toBe(0);
    expect(alloc(32)).toBe(-1);
    free(pieces[3]);
    expect(whole(PcpuBlock.contigHint)).toBe(32);
    expect(alloc(32)).toBe(pieces[3]);
  });
});

describe("pieces", () => {
  test("who cannot wait gets populated pages only", () => {
    const { memory, alloc } = chunkOf(4);
    memory.write(MAPS, 0b0100);
    expect(alloc(10, 1, true)).toBe(2 * BLOCK_BITS);
    expect(alloc(2000, 1, true)).toBe(-1);
    expect(alloc(10)).toBe(0);
    memory.write(MAPS, 0);
    expect(alloc(10, 1, true)).toBe(-1);
  });

  test("a free of what is no piece is a bug", () => {
    const { alloc, free } = chunkOf(1, { start: 16, end: 16 });
    const bit = alloc(4);
    expect(bit).toBe(16);
    expect(() => free(bit + 1)).toThrow("free_percpu: word 17 of the chunk is inside a piece");
    expect(() => free(0)).toThrow("free_percpu: word 0 of the chunk is not dynamic per-CPU memory");
    expect(() => free(1010)).toThrow("free_percpu: word 1010 of the chunk is not dynamic per-CPU memory");
    free(bit);
    expect(() => free(bit)).toThrow("free_percpu: word 16 of the chunk is free");
  });
});
