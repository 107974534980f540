/**
 * The frames of an area: struct pages in an array of its own, in memory by size or, when that is more than a page, in an
 * area like any other.  Linux: mm/vmalloc.c __vmalloc_area_node, area->pages.
 */

import type { Memory } from "../../memory/memory.ts";
import { type Pfn, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { Frames } from "../pages/frames.ts";
import type { KernelVirtual } from "./kernel-virtual.ts";
import { VmStruct } from "./vmap-area.ts";

export class PageArray {
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly virtual: KernelVirtual;

  constructor(frames: Frames, virtual: KernelVirtual) {
    this.memory = frames.memory;
    this.frames = frames;
    this.virtual = virtual;
  }

  /** Frame `index` of an area. */
  get(vm: Pointer, index: number): Pfn {
    const pages = this.memory.readFloat64(vm + VmStruct.pages);
    const page = pages < 0 ? this.virtual.read(pages + index * WORD_BYTES) : this.memory.read(pages + index);
    return this.frames.pfnOf(page);
  }

  set(vm: Pointer, index: number, pfn: Pfn): void {
    const pages = this.memory.readFloat64(vm + VmStruct.pages);
    const page = this.frames.pageOf(pfn);
    if (pages < 0) this.virtual.write(pages + index * WORD_BYTES, page);
    else this.memory.write(pages + index, page);
  }
}
