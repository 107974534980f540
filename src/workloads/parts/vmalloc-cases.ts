/**
 * The cases of the kernel's own test of vmalloc, as one CPU runs them.
 *
 * Each does its calls `loops` times and touches what it gets; with `stamp` it writes every page through its mapping, at
 * both ends, and finds it again before it frees.  A case that keeps areas meanwhile frees them before it ends.
 *
 * Linux: lib/test_vmalloc.c.  Differs: numbers of loops and of areas kept are options, smaller by default; alignments go
 * as far as the range; areas are freed after a grace period that the CPU waits for itself.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { PAGE_BYTES, type Pfn } from "../../memory/units.ts";
import { Gfp, GfpFlag } from "../../mm/pages/gfp.ts";

const QUIET = Gfp.KERNEL | GfpFlag.NOWARN;
const ZEROED = QUIET | GfpFlag.ZERO;
/** 16 KiB, the alignment of Linux's stacks, doubled. */
const STACK_ALIGN = 2 ** 15;
/** Areas that wait together for a grace period. */
const RCU_BATCH = 8;
const LAST_WORD = PAGE_BYTES - 4;

export interface CaseOptions {
  /** Of each case. */
  readonly loops: number;
  /** Pages of the areas of fixed size, and of a vm_map_ram. */
  readonly pages: number;
  /** Areas that are kept while others come and go. */
  readonly kept: number;
  readonly stamp: boolean;
}

export class VmallocCases {
  failed = 0;
  private readonly kernel: Kernel;
  private readonly options: CaseOptions;

  constructor(kernel: Kernel, options: CaseOptions) {
    this.kernel = kernel;
    this.options = options;
  }

  fixSize(): number {
    return this.repeat(() => this.pass(this.options.pages));
  }

  /** Every hole is one page large, and so is every wish. */
  fullFit(): number {
    const { kept } = this.options;
    const areas: number[] = [];
    const holes: number[] = [];
    for (let i = 0; i < kept; i++) {
      areas.push(this.alloc(1));
      holes.push(this.alloc(1));
    }
    for (const hole of holes) this.free(hole, 1);
    const done = this.repeat(() => this.pass(1));
    for (const area of areas) this.free(area, 1);
    return done;
  }

  /** Many areas are busy. */
  longBusyList(): number {
    const areas = Array.from({ length: this.options.kept }, () => this.alloc(1));
    const done = this.repeat(() => {
      const large = this.alloc(100);
      const small = this.alloc(1);
      this.free(large, 100);
      this.free(small, 1);
    });
    for (const area of areas) this.free(area, 1);
    return done;
  }

  randomSize(): number {
    const { random } = this.kernel.cpu;
    return this.repeat(() => this.pass(1 + random.below(100)));
  }

  fixAlign(): number {
    return this.repeat(() => this.pass(5, STACK_ALIGN, ZEROED));
  }

  randomSizeAlign(): number {
    const { random } = this.kernel.cpu;
    return this.repeat(() => {
      const number = random.below(256);
      this.pass((number % 10) + 1, 2 ** (number % 23), ZEROED);
    });
  }

  /** Alignments of every power of two up to 2 MiB. */
  alignShift(): number {
    let shift = 0;
    return this.repeat(() => {
      this.pass(1, 2 ** shift, ZEROED);
      shift = (shift + 1) % 22;
    });
  }

  /** Per-CPU memory of random sizes and alignments, all of it held before any is freed. */
  pcpu(): number {
    const { cpu, perCpu } = this.kernel;
    const { random } = cpu;
    const pieces: number[] = [];
    const done = this.repeat(() => {
      const piece = perCpu.alloc(1 + random.below(PAGE_BYTES / 4), 2 ** (1 + random.below(10)), QUIET);
      if (piece === 0) this.failed++;
      pieces.push(piece);
    });
    for (const piece of pieces) perCpu.free(piece);
    return done;
  }

  /** Areas are freed when nobody can be reading them any more. */
  kvfreeRcu(): number {
    const { rcu } = this.kernel;
    let waiting: number[] = [];
    const flush = (): void => {
      rcu.synchronize();
      for (const area of waiting) this.free(area, 1);
      waiting = [];
    };
    const done = this.repeat(() => {
      waiting.push(this.alloc(1));
      if (waiting.length === RCU_BATCH) flush();
    });
    flush();
    return done;
  }

  mapRam(): number {
    const { vmap, pages } = this.kernel;
    const count = this.options.pages;
    const frames: Pfn[] = [];
    while (frames.length < count && pages.allocPagesBulk(QUIET, count - frames.length, frames) > 0);
    const done = this.repeat(() => {
      const address = frames.length < count ? 0 : vmap.vmMapRam(frames);
      this.touch(address, count);
      if (address === 0) return;
      this.verify(address, count);
      vmap.vmUnmapRam(address, count);
    });
    for (const pfn of frames) pages.freePage(pfn);
    return done;
  }

  private repeat(operation: () => void): number {
    const { cpu } = this.kernel;
    for (let i = 0; i < this.options.loops; i++) {
      operation();
      cpu.endOperation();
    }
    return this.options.loops;
  }

  private pass(pages: number, align = PAGE_BYTES, gfp: number = QUIET): void {
    this.free(this.alloc(pages, align, gfp), pages);
  }

  private alloc(pages: number, align = PAGE_BYTES, gfp: number = QUIET): number {
    const { vmap, virtual } = this.kernel;
    const address = vmap.allocate(pages * PAGE_BYTES, { align, gfp, caller: "vmalloc_mix" });
    if (address % align !== 0) bug(`vmalloc gave ${address} for alignment ${align}`);
    const zeroed = address !== 0 && this.options.stamp && (gfp & GfpFlag.ZERO) !== 0;
    if (zeroed && virtual.read(address + LAST_WORD) !== 0)
      bug(`vzalloc gave an area at ${address} that is not zero`);
    this.touch(address, pages);
    return address;
  }

  private free(address: number, pages: number): void {
    if (address === 0) return;
    this.verify(address, pages);
    this.kernel.vmap.vfree(address);
  }

  /** Uses a new mapping. */
  private touch(address: number, pages: number): void {
    const { virtual } = this.kernel;
    if (address === 0) this.failed++;
    else if (!this.options.stamp) virtual.writeByte(address, 1);
    else
      for (let i = 0; i < pages; i++) {
        const page = address + i * PAGE_BYTES;
        virtual.write(page, this.stampOf(page));
        virtual.write(page + LAST_WORD, ~this.stampOf(page));
      }
  }

  private verify(address: number, pages: number): void {
    const { virtual, cpu } = this.kernel;
    if (!this.options.stamp) return;
    for (let i = 0; i < pages; i++) {
      const page = address + i * PAGE_BYTES;
      const [first, last] = [virtual.read(page), virtual.read(page + LAST_WORD)];
      if (first !== this.stampOf(page) || last !== ~first)
        bug(
          `cpu ${cpu.id}: page ${i} of ${pages} at ${address} holds ${first} and ${last}: it is not its own`,
        );
    }
  }

  /** Tells address and CPU. */
  private stampOf(page: number): number {
    return ((page / PAGE_BYTES) * 256 + this.kernel.cpu.id) | 0;
  }
}
