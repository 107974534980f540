/**
 * CPUs of two address spaces map one memory file, shared and private, write into it by mappings and calls, cut it off,
 * let it grow and punch holes into it, at random.
 *
 * Page p of the range maps page p of the file.  Every CPU has a word of every page, into which it alone writes, always the
 * same value: whatever is found there, by whatever way, is that value or zero.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import type { FileRef } from "../process/file-layout.ts";
import { Madvice } from "../process/madvise.ts";
import { MapFlag } from "../process/mmap.ts";
import { MremapFlag } from "../process/mremap.ts";
import { UserSignal } from "../process/user-signal.ts";
import type { MmRef } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { WorkloadDescription } from "./description.ts";
import { emptySpaces, endSpaces, makeSpaces, type UserSpaces } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "file-stress",
  summary:
    "CPUs of two address spaces map, write, truncate and punch one memory file; every word is checked.",
  phases: ["stress"],
  operation: "one system call or access",
  options: {
    pages: { type: "integer", default: 40, min: 4, max: 1024, help: "pages of the file at most" },
  },
  stress: true,
  explore: { operations: 8, options: { pages: 4 } },
};

const START = 2 ** 40 + 501 * PAGE_BYTES;
const SPACES = 2;
const { READ, WRITE } = Prot;
const { PRIVATE, SHARED, FIXED } = MapFlag;

interface Scene extends UserSpaces {
  readonly file: FileRef;
}

export function setup(kernel: Kernel): Scene {
  const spaces = makeSpaces(kernel, { mode: "process" }, { count: SPACES, files: 1, filePages: 0 });
  return { ...spaces, file: spaces.files[0] };
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const { cpu, processes } = kernel;
  const { mms, file } = shared as Scene;
  const mm = mms[cpu.id % SPACES];
  const writer = new FileWriter(kernel, mm, file, options.pages as number);
  processes.use(mm);
  kernel.phase("stress", () => {
    let done = 0;
    while (kernel.more(done)) {
      writer.step();
      done++;
      cpu.endOperation();
    }
    return done;
  });
  processes.use(0);
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, shared: unknown): void {
  emptySpaces(kernel, shared as Scene);
  endSpaces(kernel, shared as Scene);
}

class FileWriter {
  private readonly kernel: Kernel;
  private readonly mm: MmRef;
  private readonly file: FileRef;
  private readonly pages: number;

  constructor(kernel: Kernel, mm: MmRef, file: FileRef, pages: number) {
    this.kernel = kernel;
    this.mm = mm;
    this.file = file;
    this.pages = pages;
  }

  step(): void {
    const { random } = this.kernel.cpu;
    const first = random.below(this.pages);
    const count = 1 + random.below(Math.min(16, this.pages - first));
    const what = random.below(24);
    if (what < 7) this.call(what, first, count);
    else if (what === 7)
      this.kernel.processes.shmem.punchHole(this.file, first * PAGE_BYTES, count * PAGE_BYTES);
    else if (what === 8) this.kernel.processes.shmem.truncate(this.file, this.sizeAround(first));
    else if (what === 9) this.writeFile(first);
    else if (what < 12) this.readFile(first);
    else if (what < 17) this.writeMapping(first);
    else this.readMapping(first);
  }

  private call(what: number, first: number, count: number): void {
    const { mm } = this;
    const { calls } = this.kernel.processes;
    const [address, bytes] = [START + first * PAGE_BYTES, count * PAGE_BYTES];
    if (what < 3) this.map(first, count);
    else if (what === 3) calls.munmap(mm, address, bytes);
    else if (what === 4) calls.madvise(mm, address, bytes, [Madvice.DONTNEED, Madvice.REMOVE][count % 2]);
    else if (what === 5) calls.mprotect(mm, address, bytes, count % 2 === 0 ? READ : READ | WRITE);
    else this.moveAway(first, count);
  }

  private map(first: number, count: number): void {
    const { random } = this.kernel.cpu;
    const { calls, files } = this.kernel.processes;
    const address = START + first * PAGE_BYTES;
    const got = calls.mmap(this.mm, {
      address,
      bytes: count * PAGE_BYTES,
      prot: random.below(4) === 0 ? READ : READ | WRITE,
      flags: FIXED | (random.below(3) === 0 ? PRIVATE : SHARED),
      file: files.describe(this.file),
      offset: first * PAGE_BYTES,
    });
    if (got !== address) bug(`mmap of page ${first} of the file gives ${got}`);
  }

  /** To a place of this CPU's own and, if nobody has mapped the old one since, back. */
  private moveAway(first: number, count: number): void {
    const { mm, kernel } = this;
    const { calls } = kernel.processes;
    const bytes = count * PAGE_BYTES;
    const aside = START + ((kernel.cpu.id + 1) * 2 * this.pages + first) * PAGE_BYTES;
    const flags = MremapFlag.MAYMOVE | MremapFlag.FIXED;
    const address = START + first * PAGE_BYTES;
    if (calls.mremap(mm, { address, oldBytes: bytes, newBytes: bytes, flags, to: aside }) < 0) return;
    this.look(first, aside);
    calls.munmap(mm, aside, bytes);
  }

  private sizeAround(page: number): number {
    return page * PAGE_BYTES + this.kernel.cpu.random.below(2) * 2048;
  }

  private writeFile(page: number): void {
    const { cpu, processes } = this.kernel;
    const stamp = this.stamp(page, cpu.id);
    const bytes = [stamp & 0xff, (stamp >>> 8) & 0xff, (stamp >>> 16) & 0xff, stamp >>> 24];
    const done = processes.shmem.write(this.file, page * PAGE_BYTES + cpu.id * WORD_BYTES, bytes);
    if (done !== WORD_BYTES) bug(`cpu ${cpu.id}: a write into the file gives ${done}`);
  }

  /** Bytes come one by one: a word that is being written may be seen in parts. */
  private readFile(page: number): void {
    const { cpu, processes, cpus } = this.kernel;
    const writer = cpu.random.below(cpus);
    const stamp = this.stamp(page, writer);
    const bytes = processes.shmem.read(this.file, page * PAGE_BYTES + writer * WORD_BYTES, WORD_BYTES);
    for (const [i, byte] of bytes.entries())
      if (byte !== 0 && byte !== ((stamp >>> (8 * i)) & 0xff))
        bug(`cpu ${cpu.id}: byte ${i} of cpu ${writer}'s word of page ${page} of the file is ${byte}`);
  }

  private writeMapping(page: number): void {
    const { cpu, paging } = this.kernel;
    const address = START + page * PAGE_BYTES + cpu.id * WORD_BYTES;
    unlessRefused(() => paging.user.write(address, this.stamp(page, cpu.id)));
  }

  private readMapping(page: number): void {
    this.look(page, START + page * PAGE_BYTES);
  }

  private look(page: number, address: number): void {
    const { cpu, cpus, paging } = this.kernel;
    const writer = cpu.random.below(cpus);
    let value = 0;
    unlessRefused(() => {
      value = paging.user.read(address + writer * WORD_BYTES) | 0;
    });
    const stamp = this.stamp(page, writer);
    // What a call writes byte by byte may be seen in parts: each byte is the stamp's or zero.
    for (let shift = 0; shift < 32; shift += 8) {
      const byte = (value >>> shift) & 0xff;
      if (byte !== 0 && byte !== ((stamp >>> shift) & 0xff))
        bug(`cpu ${cpu.id} reads ${value} where cpu ${writer} writes ${stamp}: page ${page} is another's`);
    }
  }

  private stamp(page: number, writer: number): number {
    return ((writer + 1) << 16) | (page + 1);
  }
}

/** No mapping, no right, past the end of the file: all of them may be. */
function unlessRefused(access: () => void): void {
  try {
    access();
  } catch (error) {
    if (!(error instanceof UserSignal) || error.code === "OOM") throw error;
  }
}
