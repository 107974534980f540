/** The per-CPU allocator on a whole machine: chunks that come and go, pages, the reserve, limits, failures. */

import { describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { renderReport } from "../../../src/machine/inspect.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkPerCpu } from "../../../src/mm/percpu/check-percpu.ts";
import { BLOCK_WORDS, PcpuBlock, PcpuChunk } from "../../../src/mm/percpu/pcpu-chunk.ts";
import { PcpuState } from "../../../src/mm/percpu/percpu-state.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;

function machine(config: Partial<MachineConfig> = {}) {
  const { kernels, check } = kernelsOf({ cpus: 2, memory: "16MiB", ...config });
  const [kernel] = kernels;
  const { perCpu, perCpuChunks, memory, pages } = kernel;
  const state = (field: number): number => memory.read(perCpuChunks.base + field);
  return { kernels, kernel, perCpu, chunks: perCpuChunks, memory, pages, check, state };
}

/** Pieces of a page until one lies in chunk `chunks`, the first chunk being 1. */
function growTo({ perCpu, perCpuChunks }: Kernel, chunks: number): number[] {
  const pieces = [perCpu.alloc(PAGE)];
  while (perCpuChunks.window.areaOf(pieces.at(-1)!) !== chunks - 2) pieces.push(perCpu.alloc(PAGE));
  return pieces;
}

describe("chunks", () => {
  test("a piece is zero on every CPU, aligned, and apart from the others", () => {
    const { perCpu, memory, kernel, chunks } = machine({ cpus: 3 });
    const [a, b] = [perCpu.alloc(6, 4), perCpu.alloc(24, 64)];
    expect((b * 4) % 64).toBe(0);
    for (let cpu = 0; cpu < 3; cpu++) {
      expect(perCpu.of(a, cpu)).toBe(a + cpu * kernel.record.unitWords);
      for (let i = 0; i < 6; i++) expect(memory.read(perCpu.of(b, cpu) + i)).toBe(0);
      memory.fill(perCpu.of(b, cpu), 6, -1);
    }
    perCpu.free(b);
    const again = perCpu.alloc(24, 64);
    expect(again).toBe(b);
    expect(memory.read(perCpu.of(again, 2))).toBe(0);
    expect(chunks.stats()).toMatchObject({ sizeMinBytes: 8, chunks: 1 });
  });

  test("when the first chunk is full another one comes, and its pages with the pieces", () => {
    const { perCpu, chunks, kernel, check, state, memory } = machine();
    const before = check();
    const pieces = growTo(kernel, 2);
    const piece = pieces.at(-1)!;
    const chunk = chunks.chunkOf(piece);
    expect(chunk).not.toBe(chunks.base + PcpuState.first);
    expect(piece).toBe(memory.read(chunk + PcpuChunk.base));
    // The piece's page, and a reserve of four, of which pieces have been taken before.
    const populated = memory.read(chunk + PcpuChunk.nrPopulated);
    expect(populated).toBe(memory.read(chunk + PcpuChunk.nrEmptyPopPages) + 1);
    expect(state(PcpuState.nrEmptyPopPages)).toBeGreaterThanOrEqual(2);
    expect(state(PcpuState.nrEmptyPopPages)).toBeLessThanOrEqual(4);
    // Two units of each page, and a block for the chunk's records.
    expect(before - check()).toBe(2 * populated + 1);
    for (let cpu = 0; cpu < 2; cpu++) memory.write(perCpu.of(piece, cpu), 100 + cpu);
    expect(perCpu.sum(piece)).toBe(201);
    for (const p of pieces) perCpu.free(p);
    check();
  });

  test("unused chunks go but one, with their pages", () => {
    const { perCpu, chunks, kernel, check } = machine();
    const pieces = growTo(kernel, 5);
    const pages = chunks.nrPages;
    for (const p of pieces) perCpu.free(p);
    expect(chunks.stats().chunks).toBeLessThanOrEqual(3);
    expect(chunks.nrPages).toBeLessThan(pages);
    check();
    chunks.balance();
    expect(chunks.stats().chunks).toBe(2);
    check();
  });

  test("empty pages of a chunk that is hardly used are given back, and the chunk is set aside", () => {
    const { perCpu, chunks, kernel, memory, check, state } = machine();
    const pieces = growTo(kernel, 4);
    const inChunk = (area: number) => pieces.filter((p) => chunks.window.areaOf(p) === area);
    const [second] = inChunk(1);
    for (const p of inChunk(0).slice(1)) perCpu.free(p);
    for (const p of inChunk(1).slice(1)) perCpu.free(p);
    check();
    const chunk = chunks.chunkOf(second);
    expect(memory.read(chunk + PcpuChunk.isolated)).toBe(1);
    expect(memory.read(chunk + PcpuChunk.nrPopulated)).toBe(1);
    expect(chunks.lists.first(chunks.lists.sidelined)).not.toBe(0);
    expect(state(PcpuState.nrEmptyPopPages)).toBeGreaterThanOrEqual(4);
    // A piece that fits nowhere else brings it back.
    while (memory.read(chunk + PcpuChunk.isolated) !== 0 && chunks.stats().chunks < 5) perCpu.alloc(PAGE);
    expect(memory.read(chunk + PcpuChunk.isolated)).toBe(0);
    check();
  });

  test("units of a chunk lie on their CPUs' nodes", () => {
    const { kernel, chunks, memory, pages, check } = machine({ cpus: 4, nodes: 2, memory: "64MiB" });
    const piece = growTo(kernel, 2).at(-1)!;
    const chunk = chunks.chunkOf(piece);
    for (let cpu = 0; cpu < 4; cpu++) {
      const frame = chunks.chunkPages.frameOf(chunk, cpu, 0);
      expect(pages.frames.nodeOf(chunks.chunkPages.pageOf(frame))).toBe(kernel.topology.cpuNode[cpu]);
      expect(memory.read(kernel.perCpu.of(piece, cpu))).toBe(0);
    }
    growTo(kernel, 4);
    check();
  });

  test("reserved room is apart, and freed the same way", () => {
    const { perCpu, kernel, check } = machine();
    const { perCpuStart, perCpuWords, reservedWords } = kernel.record;
    const pointer = perCpu.allocReserved(reservedWords * 4, 4);
    expect(pointer).toBe(perCpuStart + perCpuWords);
    expect(perCpu.allocReserved(4, 4)).toBe(0);
    expect(kernel.takeLog()).toEqual([
      "percpu: allocation failed, size=4 align=4 atomic=0, alloc from reserved chunk failed",
    ]);
    perCpu.free(pointer);
    expect(perCpu.allocReserved(4, 4)).toBe(pointer);
    check();
  });
});

describe("who cannot wait", () => {
  test("takes populated pages, of which some are kept", () => {
    const { perCpu, chunks, kernel, state, check } = machine();
    growTo(kernel, 2);
    chunks.balance();
    expect(state(PcpuState.nrEmptyPopPages)).toBe(4);
    const { cpu } = kernel;
    const irqs = cpu.irqSave();
    const taken: number[] = [];
    for (let p = perCpu.alloc(PAGE, 8, Gfp.ATOMIC); p !== 0; p = perCpu.alloc(PAGE, 8, Gfp.ATOMIC))
      taken.push(p);
    cpu.irqRestore(irqs);
    expect(taken.length).toBeGreaterThanOrEqual(4);
    expect(kernel.takeLog()).toEqual([
      "percpu: allocation failed, size=4096 align=8 atomic=1, atomic alloc failed, no space left",
    ]);
    check();
    // The failure has queued a balance: whoever can wait runs it.
    perCpu.free(taken.pop()!);
    expect(state(PcpuState.nrEmptyPopPages)).toBeGreaterThanOrEqual(4);
    expect(perCpu.alloc(PAGE, 8, Gfp.ATOMIC)).not.toBe(0);
    expect(chunks.stats().emptyPages).toBeGreaterThanOrEqual(2);
    check();
  });

  test("may free everything with interrupts off; the chunks go later", () => {
    const { perCpu, chunks, kernel, check } = machine();
    const pieces = growTo(kernel, 4);
    const irqs = kernel.cpu.irqSave();
    for (const p of pieces) perCpu.free(p);
    expect(chunks.stats().chunks).toBe(4);
    kernel.cpu.irqRestore(irqs);
    check();
    chunks.flushBalance();
    expect(chunks.stats().chunks).toBeLessThanOrEqual(3);
    // One that was isolated came back to the others only after these had gone.
    chunks.balance();
    expect(chunks.stats().chunks).toBe(2);
    check();
  });
});

describe("failures", () => {
  test("without memory a piece is refused, with ten warnings and then silence", () => {
    const { perCpu, kernel, check } = machine({ memory: "8MiB" });
    const pieces: number[] = [];
    for (let p = perCpu.alloc(PAGE); p !== 0; p = perCpu.alloc(PAGE)) pieces.push(p);
    for (let i = 0; i < 12; i++) expect(perCpu.alloc(PAGE)).toBe(0);
    expect(perCpu.alloc(PAGE, 8, Gfp.KERNEL | GfpFlag.NOWARN)).toBe(0);
    const log = kernel.takeLog().filter((line) => line.startsWith("percpu:"));
    expect(log.length).toBe(11);
    expect(log[0]).toBe(
      "percpu: allocation failed, size=4096 align=8 atomic=0, failed to allocate new chunk",
    );
    expect(log.at(-1)).toBe("percpu: limit reached, disable warning");
    check();
    for (const p of pieces) perCpu.free(p);
    check();
  });

  test("when the pages of a piece cannot be had it is given back", () => {
    const { perCpu, chunks, kernel, pages, check } = machine({ memory: "8MiB" });
    growTo(kernel, 2);
    const held: number[] = [];
    for (let pfn = pages.allocPage(Gfp.KERNEL | GfpFlag.NOWARN); pfn !== 0; ) {
      held.push(pfn);
      pfn = pages.allocPage(Gfp.KERNEL | GfpFlag.NOWARN);
    }
    const { current } = chunks.stats();
    kernel.takeLog();
    let taken = 0;
    while (perCpu.alloc(PAGE) !== 0) taken++;
    expect(chunks.stats().current).toBe(current + taken);
    expect(kernel.takeLog().filter((line) => line.startsWith("percpu:"))[0]).toContain("failed to populate");
    check();
    for (const pfn of held) pages.freePage(pfn);
    expect(perCpu.alloc(PAGE)).not.toBe(0);
    check();
  });

  test("bad sizes and frees are bugs", () => {
    const { perCpu, kernel } = machine();
    const illegal = "for percpu allocation: valid are sizes of 1 to 32768, powers of two up to 4096";
    expect(() => perCpu.alloc(0)).toThrow(`illegal size (0) or align (8) ${illegal}`);
    expect(() => perCpu.alloc(40_000)).toThrow(`illegal size (40000) or align (8) ${illegal}`);
    expect(() => perCpu.alloc(8, 24)).toThrow(`illegal size (8) or align (24) ${illegal}`);
    expect(() => perCpu.alloc(8, 8192)).toThrow(`illegal size (8) or align (8192) ${illegal}`);
    expect(() => perCpu.free(kernel.image.tasks.address)).toThrow("is not dynamic per-CPU memory");
    expect(() => perCpu.free(kernel.record.memMap)).toThrow("is not dynamic per-CPU memory");
  });

  test.each([
    ["inside a piece", (piece: number) => [piece + 1], "free_percpu: word 1 of the chunk is inside a piece"],
    ["twice", (piece: number) => [piece, piece], "free_percpu: word 0 of the chunk is free"],
    ["of a chunk that is not there", (piece: number) => [piece + 200_000], "is not dynamic per-CPU memory"],
  ])("a free %s is a bug", (_what, freed, message) => {
    const { perCpu, kernel } = machine();
    const piece = growTo(kernel, 2).at(-1)!;
    expect(() => {
      for (const pointer of freed(piece)) perCpu.free(pointer);
    }).toThrow(message);
  });
});

/** Each rule of the check, broken. */
describe("the check", () => {
  const broken = (
    change: (m: ReturnType<typeof machine> & { chunk: number; piece: number; blocks: number }) => void,
  ): (() => void) => {
    const m = machine();
    const piece = growTo(m.kernel, 2).at(-1)!;
    const chunk = m.chunks.chunkOf(piece);
    change({ ...m, chunk, piece, blocks: m.memory.read(chunk + PcpuChunk.blocks) });
    return () => checkPerCpu(m.chunks, m.memory);
  };
  const add = (memory: Kernel["memory"], at: number, by = 1): void => memory.write(at, memory.read(at) + by);

  test.each<[string, Parameters<typeof broken>[0], string]>([
    ["free words", ({ memory, chunk }) => add(memory, chunk + PcpuChunk.freeWords), "C1 percpu chunk 0:"],
    [
      "longest run",
      ({ memory, blocks }) => add(memory, blocks + BLOCK_WORDS + PcpuBlock.contigHint, -1),
      "C2",
    ],
    [
      "run at the left",
      ({ memory, blocks }) => add(memory, blocks + BLOCK_WORDS + PcpuBlock.leftFree, -1),
      "C2",
    ],
    ["run at the right", ({ memory, blocks }) => add(memory, blocks + PcpuBlock.rightFree), "C2"],
    [
      "first free of a page",
      ({ memory, blocks }) => add(memory, blocks + BLOCK_WORDS + PcpuBlock.firstFree),
      "C2",
    ],
    ["first free", ({ memory, chunk }) => add(memory, chunk + PcpuChunk.whole + PcpuBlock.firstFree), "C3"],
    [
      "run of the chunk",
      ({ memory, chunk }) => add(memory, chunk + PcpuChunk.whole + PcpuBlock.contigHintStart, -1),
      "C3",
    ],
    ["bounds", ({ memory, chunk }) => memory.fill(memory.read(chunk + PcpuChunk.boundMap), 64, 0), "C4"],
    ["populated pages", ({ memory, chunk }) => add(memory, chunk + PcpuChunk.nrPopulated), "C5"],
    ["empty pages", ({ memory, chunk }) => add(memory, chunk + PcpuChunk.nrEmptyPopPages), "C5"],
    ["populated map", ({ memory, chunk }) => memory.write(memory.read(chunk + PcpuChunk.populated), 0), "C6"],
    ["frames", ({ memory, chunk }) => memory.write(memory.read(chunk + PcpuChunk.frames), 0), "P1"],
    [
      "owner of a frame",
      ({ memory, chunk, chunks }) =>
        memory.write(chunks.chunkPages.pageOf(chunks.chunkPages.frameOf(chunk, 0, 0)) + 7, 0),
      "P2",
    ],
    [
      "pages that are not there",
      ({ memory, kernel, piece }) => memory.write(kernel.perCpu.of(piece, 1) + 9 * 1024 + 5, 1),
      "P3 percpu chunk 0: page 9 of cpu 1 is not populated, and word 5 was written",
    ],
    ["list", ({ chunks, chunk }) => chunks.lists.move(chunk, chunks.lists.free), "L1"],
    ["area", ({ memory, chunk }) => memory.write(chunk + PcpuChunk.area, 5), "L1"],
    [
      "empty pages in all",
      ({ memory, chunks }) => add(memory, chunks.base + PcpuState.nrEmptyPopPages),
      "L2",
    ],
    ["pages in all", ({ memory, chunks }) => add(memory, chunks.base + PcpuState.nrPopulated), "L2"],
    ["chunks", ({ memory, chunks }) => add(memory, chunks.base + PcpuState.nrChunks), "L2"],
    ["pieces", ({ memory, chunks }) => add(memory, chunks.base + PcpuState.nrDealloc), "L3"],
    ["pieces of a chunk", ({ memory, chunk }) => add(memory, chunk + PcpuChunk.nrAlloc), "L3"],
  ])("finds a wrong one: %s", (_what, change, message) => {
    expect(broken(() => {})).not.toThrow();
    expect(broken(change)).toThrow(message);
  });
});

describe("the reports", () => {
  test("percpu_stats counts what there is, chunk by chunk", () => {
    const { kernel, perCpu, chunks } = machine();
    const pieces = growTo(kernel, 2);
    perCpu.free(pieces.at(-2)!);
    const text = renderReport(kernel, "percpu_stats");
    const value = (block: string, name: string): number =>
      Number(new RegExp(`^  ${name} *: +(\\d+)$`, "m").exec(block)?.[1] ?? "NaN");
    const blocks = text.split("\n\n");
    expect(text.startsWith("Percpu Memory Statistics\nAllocation Info:\n-----")).toBe(true);
    expect(value(blocks[0], "unit_size")).toBe(chunks.unitBytes);
    expect(value(blocks[0], "reserved_size")).toBe(8192);
    expect(value(blocks[1], "nr_cur_alloc")).toBe(chunks.stats().current);
    expect(value(blocks[1], "nr_chunks")).toBe(chunks.stats().chunks);
    const titles = text.split("\n").filter((row) => row.startsWith("Chunk"));
    expect(titles[0]).toBe("Chunk: <- Reserved Chunk");
    expect(titles).toContain("Chunk: <- First Chunk");
    expect(titles.length).toBe(chunks.stats().chunks + 1);
    const first = blocks.find((b) => b.includes("First Chunk"))!;
    expect(value(first, "nr_alloc")).toBe(chunks.stats().current - 1);
    expect(value(first, "cur_max_alloc")).toBe(PAGE);
    expect(value(first, "free_bytes")).toBe(chunks.stats().freeBytes);
    expect(first.split("\n")[1]).toMatch(/^ {2}nr_alloc {12}: +\d+$/);
    for (const b of blocks.slice(3, -1))
      expect(value(b, "sum_frag")).toBeGreaterThanOrEqual(value(b, "max_frag"));
  });

  test("meminfo counts the populated pages of all units", () => {
    const { kernel, chunks } = machine();
    const kilobytes = (): number => Number(/^Percpu: +(\d+) kB$/m.exec(renderReport(kernel, "meminfo"))![1]);
    const before = kilobytes();
    expect(before * 1024).toBe(2 * chunks.unitBytes);
    growTo(kernel, 2);
    expect(kilobytes() * 1024).toBe(chunks.nrPages * PAGE);
    expect(kilobytes()).toBeGreaterThan(before);
  });
});
