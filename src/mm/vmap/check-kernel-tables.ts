/**
 * The kernel's page tables at rest: T1 and T3 of kernel-tables; what of T2 the tables alone can say.
 *
 *   W6  tables are typed so, each is linked once, tablePages counts them
 *   D1  the direct map has every frame of memory once, at its own address, and nothing else
 */

import { ENTRY_WORDS, entryPfn, PteBit } from "../../hardware/page-table-entry.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn } from "../../memory/units.ts";
import { Page, PageType } from "../pages/page.ts";
import { DIRECT_MAP_START } from "./direct-map.ts";
import type { Vmalloc } from "./vmalloc.ts";
import { formatAddress, VMALLOC_START } from "./vmalloc-space.ts";
import { VmapGlobals } from "./vmap-globals.ts";

const { PRESENT, PSE, GLOBAL, USER } = PteBit;

export interface KernelTableCounts {
  /** 0 before the first use. */
  readonly tables: number;
  /** Frames by their addresses in the vmalloc range. */
  readonly mapped: ReadonlyMap<number, Pfn>;
  /** Pages of the direct map by level: 4 KiB, 2 MiB, 1 GiB. */
  readonly directPages: readonly number[];
}

/** W6, D1. */
export function checkKernelTables(vmap: Vmalloc): KernelTableCounts {
  const root = vmap.tables.rootPfn();
  const walk = new KernelTableWalk(vmap);
  if (root !== 0) walk.visit(root, vmap.tables.levels, -(2 ** 48));
  return { tables: walk.seen.size, mapped: walk.mapped, directPages: walk.finish() };
}

class KernelTableWalk {
  readonly seen = new Set<Pfn>();
  readonly mapped = new Map<number, Pfn>();
  private readonly vmap: Vmalloc;
  private readonly memory: Memory;
  private readonly directPages = [0, 0, 0];
  private directFrames = 0;

  constructor(vmap: Vmalloc) {
    this.vmap = vmap;
    this.memory = vmap.space.memory;
  }

  /** A table whose first entry, or in a top table that of the upper half's last 256 TiB, is for address `base`. */
  visit(pfn: Pfn, level: number, base: number): void {
    const { memory, seen } = this;
    if (seen.has(pfn)) bug(`W6 the table in frame ${pfn} is linked twice`);
    seen.add(pfn);
    const type = memory.read(this.vmap.parts.pages.frames.pageOf(pfn) + Page.type) & 0xff;
    if (type !== PageType.PAGE_TABLE) bug(`W6 the table in frame ${pfn} has page type ${type}`);
    const bytes = PAGE_BYTES * 512 ** (level - 1);
    for (let index = 0; index < FRAME_WORDS / ENTRY_WORDS; index++) {
      const at = frameOf(pfn) + index * ENTRY_WORDS;
      const word = memory.read(at);
      if ((word & PRESENT) === 0) continue;
      const target = entryPfn(word, memory.read(at + 1));
      // All of the kernel lies in the last entry of a fifth level.
      const address = level === 5 ? base : base + index * bytes;
      if (level === 1 || (word & PSE) !== 0) this.leaf(address, level, target, word);
      else this.visit(target, level - 1, address);
    }
  }

  /** The rest of D1; pages of the direct map by level. */
  finish(): number[] {
    const { vmap, memory } = this;
    const present = vmap.tables.ranges.reduce((sum, { startPfn, endPfn }) => sum + endPfn - startPfn, 0);
    if (this.seen.size > 0 && this.directFrames !== present)
      bug(`D1 the direct map has ${this.directFrames} frames, memory has ${present}`);
    const said = memory.read(vmap.space.globals + VmapGlobals.tablePages);
    if (said !== this.seen.size) bug(`W6 there are ${this.seen.size} tables, ${said} are counted`);
    return this.directPages;
  }

  private leaf(address: number, level: number, pfn: Pfn, word: number): void {
    const { vmap, memory } = this;
    const name = formatAddress(address);
    if ((word & (GLOBAL | USER)) !== GLOBAL)
      bug(`W6 the entry for ${name} is 0x${word.toString(16)}: it must be global, and the kernel's`);
    if (address >= VMALLOC_START) {
      if (level !== 1) bug(`W6 ${name}, of the vmalloc range, is mapped by a large page`);
      if (memory.read(vmap.parts.pages.frames.pageOf(pfn) + Page.refcount) <= 0)
        bug(`W5 ${name} maps frame ${pfn}, which is free`);
      this.mapped.set(address, pfn);
      return;
    }
    if (address !== DIRECT_MAP_START + pfn * PAGE_BYTES) bug(`D1 ${name} maps frame ${pfn}`);
    const frames = 512 ** (level - 1);
    if (!vmap.tables.ranges.some(({ startPfn, endPfn }) => startPfn <= pfn && pfn + frames <= endPfn))
      bug(`D1 ${name} maps frames ${pfn} to ${pfn + frames - 1}, where no memory is`);
    this.directPages[level - 1]++;
    this.directFrames += frames;
  }
}
