/**
 * CPUs in one address space map, write, protect, move and unmap at random; now and then one forks.
 *
 * Each CPU has a range of its own, of which it knows every word: what it reads must be what it wrote since the page was last
 * mapped, and an access must fail exactly where its rights say so.  A child finds the same, and what it writes nobody
 * else sees.  And there is a range for all: there a word is zero or
 * what its one writer puts there, wherever pages come and go under the reader.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { Madvice } from "../process/madvise.ts";
import { Mlock2Flag } from "../process/mlock.ts";
import { MapFlag } from "../process/mmap.ts";
import { MremapFlag } from "../process/mremap.ts";
import type { MmRef } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { WorkloadDescription } from "./description.ts";
import { refusalOf } from "./parts/try-access.ts";
import { emptySpaces, endSpaces, makeSpaces, nameSpaces, type UserSpaces } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mm-stress",
  summary:
    "CPUs of one address space map, write, protect, move, unmap and fork at random; values and rights are checked.",
  phases: ["stress"],
  operation: "one system call or access",
  options: {
    pages: {
      type: "integer",
      default: 48,
      min: 4,
      max: 4096,
      help: "pages of each CPU's range, and of the common one",
    },
    common: { type: "integer", default: 40, min: 0, max: 100, help: "operations in 100 on the common range" },
  },
  stress: true,
  explore: { operations: 8, options: { pages: 4, common: 70 } },
};

const { READ, WRITE } = Prot;
const { PRIVATE, ANONYMOUS, FIXED } = MapFlag;
/** Ranges begin a page table apart or less: neighbours share some. */
const START = 2 ** 40 + 37 * PAGE_BYTES;
/** A fork costs as much as many other operations: one in so many that are chosen. */
const FORK_IN = 4;
/** Holes between ranges, pages. */
const GAP = 3;

export const setup = (kernel: Kernel): UserSpaces => makeSpaces(kernel, {});

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, shared as UserSpaces);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const { cpu, processes } = kernel;
  const [mm] = (shared as UserSpaces).mms;
  const pages = options.pages as number;
  const own = new OwnRange(kernel, mm, START + (cpu.id + 1) * (pages + GAP) * PAGE_BYTES, pages);
  const common = new CommonRange(kernel, mm, START, pages);
  processes.use(mm);
  kernel.phase("stress", () => {
    let done = 0;
    while (kernel.more(done)) {
      if (cpu.random.below(100) < (options.common as number)) common.step();
      else own.step();
      done++;
      cpu.endOperation();
    }
    return done;
  });
  own.verifyAll();
  processes.use(0);
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  emptySpaces(kernel, shared as UserSpaces);
  endSpaces(kernel, shared as UserSpaces);
}

/** A piece of a range, chosen at random. */
interface Piece {
  readonly first: number;
  readonly count: number;
}

function pieceOf(kernel: Kernel, pages: number): Piece {
  const first = kernel.cpu.random.below(pages);
  return { first, count: 1 + kernel.cpu.random.below(Math.min(8, pages - first)) };
}

const UNMAPPED = -1;

/** Nobody else touches it: rights and the first word of every page are known. */
class OwnRange {
  private readonly kernel: Kernel;
  private readonly mm: MmRef;
  private readonly start: number;
  /** Prot bits, or UNMAPPED. */
  private readonly rights: number[];
  private readonly words: number[];

  constructor(kernel: Kernel, mm: MmRef, start: number, pages: number) {
    this.kernel = kernel;
    this.mm = mm;
    this.start = start;
    this.rights = new Array<number>(pages).fill(UNMAPPED);
    this.words = new Array<number>(pages).fill(0);
  }

  step(): void {
    const { kernel } = this;
    const { random } = kernel.cpu;
    const piece = pieceOf(kernel, this.rights.length);
    const what = random.below(18);
    if (what < 2) this.map(piece, random.below(2) === 0 ? READ | WRITE : READ);
    else if (what === 2) this.unmap(piece);
    else if (what === 3) this.protect(piece, random.below(3));
    else if (what === 4) this.drop(piece);
    else if (what === 5) this.move(piece, random.below(this.rights.length - piece.count + 1));
    else if (what === 6 && random.below(FORK_IN) === 0) this.fork(piece);
    else if (what < 13) this.write(piece.first, random.next() | 1);
    else this.read(piece.first);
  }

  verifyAll(): void {
    for (let page = 0; page < this.rights.length; page++) this.read(page);
  }

  private map({ first, count }: Piece, prot: number): void {
    const request = {
      bytes: count * PAGE_BYTES,
      prot,
      flags: PRIVATE | ANONYMOUS | FIXED,
      file: null,
      offset: 0,
    };
    const got = this.kernel.processes.calls.mmap(this.mm, { address: this.at(first), ...request });
    if (got !== this.at(first)) bug(`mmap at 0x${this.at(first).toString(16)} gave ${got}`);
    this.rights.fill(prot, first, first + count);
    this.words.fill(0, first, first + count);
  }

  private unmap({ first, count }: Piece): void {
    this.expect("munmap", this.kernel.processes.calls.munmap(this.mm, this.at(first), count * PAGE_BYTES), 0);
    this.rights.fill(UNMAPPED, first, first + count);
    this.words.fill(0, first, first + count);
  }

  private protect({ first, count }: Piece, choice: number): void {
    const prot = [0, READ, READ | WRITE][choice];
    const whole = this.rights.slice(first, first + count);
    const hole = whole.indexOf(UNMAPPED);
    const result = this.kernel.processes.calls.mprotect(this.mm, this.at(first), count * PAGE_BYTES, prot);
    this.expect("mprotect", result === 0 ? 0 : -1, hole < 0 ? 0 : -1);
    // What lies before the hole is changed.
    this.rights.fill(prot, first, first + (hole < 0 ? count : hole));
  }

  private drop({ first, count }: Piece): void {
    this.kernel.processes.calls.madvise(this.mm, this.at(first), count * PAGE_BYTES, Madvice.DONTNEED);
    for (let page = first; page < first + count; page++) this.words[page] = 0;
  }

  private move({ first, count }: Piece, to: number): void {
    const { calls } = this.kernel.processes;
    const bytes = count * PAGE_BYTES;
    const overlaps = first < to + count && to < first + count;
    const flags = MremapFlag.MAYMOVE | MremapFlag.FIXED;
    const request = { address: this.at(first), oldBytes: bytes, newBytes: bytes, flags, to: this.at(to) };
    const result = calls.mremap(this.mm, request);
    const wanted = overlaps ? -Errno.EINVAL : this.rights[first] === UNMAPPED ? -Errno.EFAULT : this.at(to);
    this.expect("mremap", result, wanted);
    if (result < 0) return;
    // What lies over a hole of the old range stays.
    for (let page = 0; page < count; page++) {
      if (this.rights[first + page] === UNMAPPED) continue;
      this.rights[to + page] = this.rights[first + page];
      this.words[to + page] = this.words[first + page];
      this.rights[first + page] = UNMAPPED;
      this.words[first + page] = 0;
    }
  }

  /** The child finds what its parent has, and writes other values over it. */
  private fork({ first, count }: Piece): void {
    const { processes } = this.kernel;
    const words = [...this.words];
    const child = processes.calls.fork(this.mm);
    if (child < 0) return; // no memory: not now
    processes.use(child);
    for (let page = first; page < first + count; page++) {
      this.read(page);
      this.write(page, ~words[page]);
      this.read(page);
    }
    processes.use(this.mm);
    processes.spaces.put(child);
    words.forEach((word, page) => {
      this.words[page] = word;
    });
    for (let page = first; page < first + count; page++) this.read(page);
  }

  private write(page: number, value: number): void {
    const signal = refusalOf(() => this.kernel.paging.user.write(this.at(page), value));
    const rights = this.rights[page];
    const expected = rights === UNMAPPED ? "MAPERR" : (rights & WRITE) === 0 ? "ACCERR" : null;
    if (signal !== expected) this.wrong(page, `a write gets ${signal}, expected ${expected}`);
    if (signal === null) this.words[page] = value | 0;
  }

  private read(page: number): void {
    let value = 0;
    const signal = refusalOf(() => {
      value = this.kernel.paging.user.read(this.at(page)) | 0;
    });
    const rights = this.rights[page];
    const expected = rights === UNMAPPED ? "MAPERR" : rights === 0 ? "ACCERR" : null;
    if (signal !== expected) this.wrong(page, `a read gets ${signal}, expected ${expected}`);
    if (signal === null && value !== this.words[page])
      this.wrong(page, `it holds ${value}, ${this.words[page]} was written`);
  }

  private at(page: number): number {
    return this.start + page * PAGE_BYTES;
  }

  private expect(name: string, got: number, wanted: number): void {
    if (got !== wanted) bug(`cpu ${this.kernel.cpu.id}: ${name} gives ${got}, expected ${wanted}`);
  }

  private wrong(page: number, what: string): never {
    bug(`cpu ${this.kernel.cpu.id}, page at 0x${this.at(page).toString(16)}: ${what}`);
  }
}

/** Everybody's: each CPU has a word of every page, which it alone writes, always the same value. */
class CommonRange {
  private readonly kernel: Kernel;
  private readonly mm: MmRef;
  private readonly start: number;
  private readonly pages: number;

  constructor(kernel: Kernel, mm: MmRef, start: number, pages: number) {
    this.kernel = kernel;
    this.mm = mm;
    this.start = start;
    this.pages = pages;
  }

  step(): void {
    const { kernel, mm } = this;
    const { calls } = kernel.processes;
    const { random } = kernel.cpu;
    const { first, count } = pieceOf(kernel, this.pages);
    const address = this.start + first * PAGE_BYTES;
    const bytes = count * PAGE_BYTES;
    const what = random.below(22);
    const { locking } = calls;
    // A page or a right that somebody else has taken away makes it fail.
    if (what === 20) locking.mlock2(mm, address, bytes, random.below(2) * Mlock2Flag.ONFAULT);
    else if (what === 21) locking.munlock(mm, address, bytes);
    else if (what < 2) {
      const flags = PRIVATE | ANONYMOUS | FIXED;
      calls.mmap(mm, { address, bytes, prot: READ | WRITE, flags, file: null, offset: 0 });
    } else if (what === 2) calls.munmap(mm, address, bytes);
    else if (what === 3) calls.mprotect(mm, address, bytes, random.below(2) === 0 ? READ : READ | WRITE);
    else if (what === 4) calls.madvise(mm, address, bytes, Madvice.DONTNEED);
    else if (what < 12)
      refusalOf(() =>
        kernel.paging.user.write(this.word(first, kernel.cpu.id), this.stamp(first, kernel.cpu.id)),
      );
    else this.look(first, random.below(kernel.cpus));
  }

  private look(page: number, writer: number): void {
    let value = 0;
    refusalOf(() => {
      value = this.kernel.paging.user.read(this.word(page, writer)) | 0;
    });
    const stamp = this.stamp(page, writer);
    if (value !== 0 && value !== stamp)
      bug(
        `cpu ${this.kernel.cpu.id} reads ${value} where cpu ${writer} writes ${stamp}: page ${page} is another's`,
      );
  }

  private word(page: number, writer: number): number {
    return this.start + page * PAGE_BYTES + writer * WORD_BYTES;
  }

  private stamp(page: number, writer: number): number {
    return ((writer + 1) << 16) | page;
  }
}
