/**
 * Every CPU maps, writes, reads and unmaps pages of one address space, comes and goes, and is lazy at times.  What a
 * program reads must be what the map's state allows.
 *
 * Each page has a word that says where its life stands: four times the number of the page that was mapped there last, plus a
 * stage.  Whoever changes the page's mapping has moved it to a stage of change before; and to the next one only when the
 * change, and the flush, are complete.  So a reader who finds the same stage of rest before and after his access knows
 * what he must have found.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Work } from "../memory/work.ts";
import { PMD_BYTES } from "../mm/pgtable/address-range.ts";
import type { MmRef } from "../mm/pgtable/mm-context.ts";
import { endSpace, look, mapPage, NOTHING, newSpace, unmapPages } from "../mm/shootdown/bare-space.ts";
import { UserFault } from "../mm/shootdown/user-access.ts";
import type { WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "tlb-stress",
  summary: "Every CPU maps, uses and unmaps pages of one address space; what it reads must fit the map.",
  phases: ["stress"],
  operation: "one read, write, mapping, unmapping of up to 40 pages, or switch of address spaces",
  options: {
    pages: { type: "integer", default: 48, min: 1, max: 1024, help: "pages of the address space" },
  },
  stress: true,
  explore: { operations: 12, options: { pages: 4 } },
};

/** Half of the pages lie in one page table, half in another. */
const FIRST = 0x7f00_0000_0000;
const LONGEST = 40;
/** How long a CPU is away, in simulated time: others unmap meanwhile. */
const MOST_AWAY_NS = 20_000;
/** Stages of a page. */
const UNMAPPED = 0;
const MAPPING = 1;
const MAPPED = 2;
const UNMAPPING = 3;
const stageOf = (word: number): number => word & 3;
const numberOf = (word: number): number => word >> 2;

interface Shared {
  readonly mm: MmRef;
  /** A word a page. */
  readonly states: Pointer;
}

/** The places of a run, on one CPU. */
interface Place extends Shared {
  readonly kernel: Kernel;
  readonly pages: number;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const mm = newSpace(kernel);
  if (mm === 0) bug("no memory for an address space");
  return { mm, states: takeScratch(kernel, options.pages as number) };
}

export function attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "states", (shared as Shared).states, options.pages as number);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): null {
  const { cpu, paging } = kernel;
  const { tlb } = paging;
  const place: Place = { ...(shared as Shared), kernel, pages: options.pages as number };
  tlb.switchMm(place.mm);
  kernel.phase("stress", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      const page = cpu.random.below(place.pages);
      const what = cpu.random.below(100);
      if (what < 40) readPage(place, page);
      else if (what < 60) writePage(place, page);
      else if (what < 80) map(place, page);
      else if (what < 92) unmap(place, page);
      else comeAndGo(place, what);
      cpu.endOperation();
    }
    return done;
  });
  tlb.switchMm(tlb.initMm);
  return null;
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { tlb } = kernel.paging;
  const place: Place = { ...(shared as Shared), kernel, pages: options.pages as number };
  tlb.switchMm(place.mm);
  for (let page = 0; page < place.pages; page++) readPage(place, page);
  tlb.switchMm(tlb.initMm);
  endSpace(kernel, place.mm);
  freeScratch(kernel, place.states, place.pages);
}

const addressOf = ({ pages }: Place, page: number): number =>
  page < pages / 2 ? FIRST + page * PAGE_BYTES : FIRST + PMD_BYTES + page * PAGE_BYTES;
/** What a page's first word says while it is the `number`th there. */
const wordIn = (page: number, number: number): number => number * 1024 + page;

function readPage(place: Place, page: number): void {
  const { kernel, states } = place;
  const before = kernel.memory.load(states + page);
  const value = look(kernel, addressOf(place, page));
  const after = kernel.memory.load(states + page);
  if (before === after && stageOf(before) === MAPPED && value !== wordIn(page, numberOf(before)))
    bug(`cpu ${kernel.cpu.id}: page ${page} is mapped for the ${numberOf(before)}th time and holds ${value}`);
  if (before === after && stageOf(before) === UNMAPPED && value !== NOTHING)
    bug(`cpu ${kernel.cpu.id}: page ${page} is unmapped and holds ${value}`);
  if (value === NOTHING) return;
  const number = value >> 10;
  if ((value & 1023) !== page || number < numberOf(before) || number > numberOf(after))
    bug(`cpu ${kernel.cpu.id}: page ${page} holds ${value}, between states ${before} and ${after}`);
}

/** Writes to a word that is this CPU's own in the page, and reads it back. */
function writePage(place: Place, page: number): void {
  const { kernel, states } = place;
  const { cpu, memory, paging } = kernel;
  const address = addressOf(place, page) + 64 + 4 * cpu.id;
  const before = memory.load(states + page);
  const wrote = cpu.random.next() | 0;
  let found = wrote;
  try {
    paging.user.write(address, wrote);
    found = paging.user.read(address);
  } catch (error) {
    if (!(error instanceof UserFault)) throw error;
    const isSure = before === memory.load(states + page) && stageOf(before) === MAPPED;
    if (isSure) bug(`cpu ${cpu.id}: page ${page} is mapped, and faults: ${error.message}`);
    return;
  }
  if (before === memory.load(states + page) && found !== wrote)
    bug(`cpu ${cpu.id}: page ${page} has lost what was written`);
}

function map(place: Place, page: number): void {
  const { kernel, states, mm } = place;
  const { memory } = kernel;
  const at = states + page;
  const word = memory.load(at);
  const next = word + 4;
  if (stageOf(word) !== UNMAPPED || memory.cas(at, word, next + MAPPING) !== word) return;
  const pfn = mapPage(kernel, mm, addressOf(place, page), wordIn(page, numberOf(next)));
  memory.store(at, next + (pfn === 0 ? UNMAPPED : MAPPED));
}

/** Unmaps a page and those behind it that are mapped, up to a random number, with one flush. */
function unmap(place: Place, first: number): void {
  const { kernel, states, mm, pages } = place;
  const { memory, cpu } = kernel;
  const half = first < pages / 2 ? Math.ceil(pages / 2) : pages;
  const limit = Math.min(half, first + (cpu.random.below(8) === 0 ? LONGEST : 1 + cpu.random.below(4)));
  let end = first;
  for (; end < limit; end++) {
    const word = memory.load(states + end);
    if (stageOf(word) !== MAPPED || memory.cas(states + end, word, word + 1) !== word) break;
  }
  if (end === first) return;
  unmapPages(kernel, mm, addressOf(place, first), addressOf(place, end - 1) + PAGE_BYTES);
  for (let page = first; page < end; page++) {
    const word = memory.load(states + page);
    if (stageOf(word) !== UNMAPPING) bug(`page ${page} is in state ${word} while it is unmapped`);
    memory.store(states + page, word & ~3);
  }
}

/** The CPU leaves the address space or is lazy, and comes back; or an empty page table goes. */
function comeAndGo({ kernel, mm }: Place, what: number): void {
  const { cpu, memory, paging } = kernel;
  const { tlb, tables, ranges } = paging;
  if (what < 96) {
    if (what < 94) tlb.enterLazy();
    else tlb.switchMm(tlb.initMm);
    memory.work(Work.COMPUTE, cpu.random.below(MOST_AWAY_NS));
    cpu.endOperation();
    tlb.switchMm(mm);
    return;
  }
  const address = FIRST + (what & 1) * PMD_BYTES;
  const pmd = tables.pmdOffset(mm, address);
  if (pmd === 0) return;
  const gather = paging.gather(mm);
  ranges.freeEmpty(gather, pmd, address);
  gather.finish();
}
