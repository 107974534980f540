/**
 * Every CPU maps pages of its own, writes, protects, moves, drops and unmaps them, while all others read them and try to write: what
 * each finds must be what the state of the map allows.
 *
 * Each page has three words of RAM: a state, what its own first word holds, and how often that was changed.  Its owner moves
 * the state to "changing" before a system call and to the next state of rest after it.  So who finds the same words before and
 * after his access, and the page at rest, knows what he must have found: the value, zero, or the signal's code.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../memory/units.ts";
import { MapFlag } from "../process/mmap.ts";
import { MremapFlag } from "../process/mremap.ts";
import { Prot } from "../process/vm-flags.ts";
import type { WorkloadDescription } from "./description.ts";
import { type SpaceLoop, type SpacePart, spaceWorkload } from "./parts/space-workload.ts";
import { refusalOf } from "./parts/try-access.ts";
import { pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "map-read-stress",
  summary: "Every CPU maps, changes and unmaps pages that all others read; values must fit the map's state.",
  phases: ["stress"],
  operation: "one change of the map, or one access to another CPU's page",
  options: { pages: pagesOption(6) },
  stress: true,
  explore: { operations: 12, options: { pages: 2 } },
};

const START = 2 ** 40 + 23 * PAGE_BYTES;
const { READ, WRITE } = Prot;

/** States of a page: what an access finds. */
const State = { UNMAPPED: 0, ZEROED: 1, WRITTEN: 2, READONLY: 3, CHANGING: 4 } as const;
const { UNMAPPED, ZEROED, WRITTEN, READONLY, CHANGING } = State;
/** A page's words. */
const STATE = 0;
const VALUE = 1;
const CHANGES = 2;
const WORDS = 3;

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  words: ({ pages }) => (pages as number) * WORDS,
  begin: (part): SpaceLoop => {
    const { kernel, pages } = part;
    const { random, id } = kernel.cpu;
    const owner = new Owner(part);
    const visitor = new Visitor(part);
    return {
      step: () => {
        if (random.below(5) < 2) owner.step(random.below(pages));
        else visitor.visit(random.below(kernel.cpus), random.below(pages));
        return 1;
      },
      end: () => {
        for (let page = 0; page < pages; page++) visitor.visit(id, page);
        owner.unmapAll();
      },
    };
  },
});

/** Pages lie side by side, in page tables and VMAs of several CPUs. */
function addressOf({ pages }: SpacePart, cpu: number, page: number): number {
  return START + (cpu * pages + page) * PAGE_BYTES;
}

class Owner {
  private readonly part: SpacePart;
  private readonly kernel: Kernel;
  private readonly words: Pointer;
  private count = 0;

  constructor(part: SpacePart) {
    this.part = part;
    this.kernel = part.kernel;
    this.words = part.wordsOf(part.kernel.cpu.id);
  }

  /** A change that the page's state allows. */
  step(page: number): void {
    const state = this.kernel.memory.read(this.words + page * WORDS + STATE);
    const choice = this.kernel.cpu.random.below(4);
    if (state === UNMAPPED) this.map(page);
    else if (choice === 0) this.unmap(page);
    else if (state === READONLY) this.protect(page, READ | WRITE, WRITTEN);
    else if (state === ZEROED || choice === 1) this.write(page);
    else if (choice === 2) this.protect(page, READ, READONLY);
    else if (this.kernel.cpu.random.below(2) === 0) this.drop(page);
    else this.move(page, this.kernel.cpu.random.below(this.part.pages));
  }

  unmapAll(): void {
    for (let page = 0; page < this.part.pages; page++) this.unmap(page);
  }

  private map(page: number): void {
    this.change(page, ZEROED, 0, () => {
      const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
      const address = this.at(page);
      const request = { address, bytes: PAGE_BYTES, prot: READ | WRITE, flags, file: null, offset: 0 };
      return this.kernel.processes.calls.mmap(this.part.program.mm, request) - address;
    });
  }

  private unmap(page: number): void {
    const { calls } = this.kernel.processes;
    this.change(page, UNMAPPED, 0, () => calls.munmap(this.part.program.mm, this.at(page), PAGE_BYTES));
  }

  private write(page: number): void {
    const { cpu, paging } = this.kernel;
    const value = ((++this.count & 0x3f_ffff) << 8) | cpu.id;
    this.change(page, WRITTEN, value, () => {
      paging.user.write(this.at(page), value);
      return 0;
    });
  }

  private protect(page: number, prot: number, next: number): void {
    const { calls } = this.kernel.processes;
    const value = this.kernel.memory.read(this.words + page * WORDS + VALUE);
    this.change(page, next, value, () =>
      calls.mprotect(this.part.program.mm, this.at(page), PAGE_BYTES, prot),
    );
  }

  private drop(page: number): void {
    this.change(page, ZEROED, 0, () => {
      this.part.program.drop(this.at(page), 1);
      return 0;
    });
  }

  /** Over another page of the CPU's own, whatever is there. */
  private move(page: number, to: number): void {
    if (page === to) return;
    const { memory, processes } = this.kernel;
    const value = memory.read(this.words + page * WORDS + VALUE);
    const flags = MremapFlag.MAYMOVE | MremapFlag.FIXED;
    const sizes = { oldBytes: PAGE_BYTES, newBytes: PAGE_BYTES };
    const request = { address: this.at(page), ...sizes, flags, to: this.at(to) };
    this.change(to, WRITTEN, value, () => {
      this.change(page, UNMAPPED, 0, () => {
        return processes.calls.mremap(this.part.program.mm, request) - this.at(to);
      });
      return 0;
    });
  }

  /** `call` returns 0; then the page is in state `next`, and its first word `value`. */
  private change(page: number, next: number, value: number, call: () => number): void {
    const { memory, cpu } = this.kernel;
    const words = this.words + page * WORDS;
    memory.store(words + STATE, CHANGING);
    memory.add(words + CHANGES, 1);
    const result = call();
    if (result !== 0) bug(`cpu ${cpu.id}: a call on page ${page} gives ${result}`);
    memory.store(words + VALUE, value);
    memory.store(words + STATE, next);
  }

  private at(page: number): number {
    return addressOf(this.part, this.kernel.cpu.id, page);
  }
}

/** Who looks at a page, its owner or another. */
class Visitor {
  private readonly part: SpacePart;
  private readonly kernel: Kernel;
  private count = 0;

  constructor(part: SpacePart) {
    this.part = part;
    this.kernel = part.kernel;
  }

  /** Reads the owner's word, or writes into a word of one's own. */
  visit(owner: number, page: number): void {
    const { memory, cpu } = this.kernel;
    const words = this.part.wordsOf(owner) + page * WORDS;
    const changes = memory.load(words + CHANGES);
    const state = memory.load(words + STATE);
    const value = memory.load(words + VALUE);
    const isWrite = cpu.random.below(3) === 0;
    const address = addressOf(this.part, owner, page);
    const found = isWrite ? this.write(address) : this.read(address);
    const isSame = memory.load(words + CHANGES) === changes && memory.load(words + STATE) === state;
    const where = `cpu ${cpu.id} ${isWrite ? "writes to" : "reads"} page ${page} of cpu ${owner}`;
    if (isSame && state !== CHANGING) {
      const expected = state === UNMAPPED ? "MAPERR" : state === READONLY && isWrite ? "ACCERR" : value;
      const got = isWrite && typeof found === "number" ? value : found;
      if (got !== expected) bug(`${where}, in state ${state} with ${value}: ${found}, expected ${expected}`);
    } else if (typeof found === "number" && !isWrite && found !== 0 && (found & 0xff) !== owner)
      bug(`${where}, which changes: ${found} is another's`);
  }

  private read(address: number): number | string {
    let value = 0;
    const refusal = refusalOf(() => {
      value = this.kernel.paging.user.read(address);
    });
    return refusal ?? value;
  }

  private write(address: number): number | string {
    const { paging, cpu } = this.kernel;
    const at = address + (1 + cpu.id) * WORD_BYTES;
    const refusal = refusalOf(() => paging.user.write(at, ++this.count));
    return refusal ?? this.count;
  }
}
