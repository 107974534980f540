/** One CPU reads, or with the option `writes` writes, words of 32 pages of an address space: each access is translated by its TLB. */
import type { Kernel } from "../../src/machine/kernel.ts";
import { PAGE_BYTES } from "../../src/memory/units.ts";
import { endSpace, mapPage, newSpace } from "../../src/mm/shootdown/bare-space.ts";

const ADDRESS = 0x7f00_0000_0000;
const PAGES = 32;
const WORDS = 1024;

export function setup(kernel: Kernel): number {
  const mm = newSpace(kernel);
  for (let page = 0; page < PAGES; page++) mapPage(kernel, mm, ADDRESS + page * PAGE_BYTES, page);
  return mm;
}

export function run(kernel: Kernel, options: { writes?: boolean }, shared: unknown): void {
  const { tlb } = kernel.paging;
  const mm = shared as number;
  tlb.switchMm(mm);
  if (options.writes === true) write(kernel);
  else read(kernel);
  tlb.switchMm(tlb.initMm);
}

function read(kernel: Kernel): void {
  const { cpu } = kernel;
  const { user } = kernel.paging;
  kernel.phase("access", () => {
    let done = 0;
    let sum = 0;
    for (let page = 0; kernel.more(done); page = (page + 1) % PAGES) {
      const start = ADDRESS + page * PAGE_BYTES;
      for (let i = 0; i < WORDS; i++) sum = (sum + user.read(start + i * 4)) | 0;
      done += WORDS;
      cpu.endOperation();
    }
    return sum === 1 ? done + 1 : done;
  });
}

function write(kernel: Kernel): void {
  const { cpu } = kernel;
  const { user } = kernel.paging;
  kernel.phase("access", () => {
    let done = 0;
    for (let page = 0; kernel.more(done); page = (page + 1) % PAGES) {
      const start = ADDRESS + page * PAGE_BYTES;
      for (let i = 0; i < WORDS; i++) user.write(start + i * 4, i);
      done += WORDS;
      cpu.endOperation();
    }
    return done;
  });
}

export function check(kernel: Kernel, _options: unknown, _values: unknown, shared: unknown): void {
  endSpace(kernel, shared as number);
}
