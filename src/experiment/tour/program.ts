/**
 * An address space to look at, and a child's that shares pages with it: what `smpsim proc PID/...` and `smpsim walk` show
 * unless they are told to run something else.  Both stay when the program has ended.
 *
 * It has text, data and a heap where a program on x86-64 has them, a library's file, shared memory and a stack.  Of each
 * kind of page there is one: the values that CPU 0 returns say where.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { MmContext } from "../../mm/pgtable/mm-context.ts";
import { virtualOf } from "../../mm/vmap/direct-map.ts";
import { TASK_SIZE } from "../../process/address-spaces.ts";
import type { FileRef } from "../../process/file-layout.ts";
import { MapFlag } from "../../process/mmap.ts";
import { contextOf, type MmRef } from "../../process/vm-area.ts";
import { Prot } from "../../process/vm-flags.ts";

/** A place worth a look. */
export interface TourStop {
  readonly pid: number;
  readonly address: number;
  /** What to ask for: "read", "write". */
  readonly access: string;
  readonly what: string;
}

const { READ, WRITE, EXEC } = Prot;
const { PRIVATE, SHARED, ANONYMOUS, FIXED, GROWSDOWN } = MapFlag;
const TEXT = 0x40_0000;
const DATA = 0x40_4000;
const HEAP = 0x41_0000;
/** Linux without address-space randomisation: mmap_base for a stack limit of 8 MiB. */
const MMAP_BASE = 0x7fff_f7ff_f000;
const STACK_PAGES = 33;
const STACK_TOP = TASK_SIZE;
const KIB = 1024;

export function setup(kernel: Kernel): TourStop[] {
  const { processes } = kernel;
  processes.start();
  const mm = processes.spaces.make(MMAP_BASE);
  if (mm === 0) bug("no memory for the tour");
  processes.use(mm);
  const tour = new Tour(kernel, mm);
  tour.build();
  const child = processes.calls.fork(mm);
  if (child < 0) bug("no memory for the tour's child");
  // What the child writes is its own from here on; the rest both share.
  processes.use(child);
  tour.write(HEAP, 1);
  tour.read(DATA, 1);
  processes.use(0);
  return tour.stops(child);
}

export function run(_kernel: Kernel, _options: unknown, shared: unknown): TourStop[] {
  return shared as TourStop[];
}

class Tour {
  private readonly kernel: Kernel;
  private readonly mm: MmRef;
  /** Of mappings that the kernel has placed. */
  private privateAt = 0;
  private sharedAt = 0;
  private noneAt = 0;

  constructor(kernel: Kernel, mm: MmRef) {
    this.kernel = kernel;
    this.mm = mm;
  }

  build(): void {
    const { processes } = this.kernel;
    const { calls, shmem, files } = processes;
    const program = this.file(8);
    this.map(TEXT, 4, READ | EXEC, PRIVATE, program);
    this.map(DATA, 2, READ | WRITE, PRIVATE, program);
    processes.spaces.placeHeap(this.mm, HEAP);
    calls.brk(this.mm, HEAP + 12 * PAGE_BYTES);
    this.privateAt = this.map(0, 64, READ | WRITE, PRIVATE | ANONYMOUS);
    this.sharedAt = this.map(0, 8, READ | WRITE, SHARED | ANONYMOUS);
    this.noneAt = this.map(0, 1, 0, PRIVATE | ANONYMOUS);
    this.map(
      STACK_TOP - STACK_PAGES * PAGE_BYTES,
      STACK_PAGES,
      READ | WRITE,
      PRIVATE | ANONYMOUS | GROWSDOWN,
    );
    files.put(program);
    shmem.write(program, 0, [0x7f, 0x45, 0x4c, 0x46]);
    processes.spaces.placeImage(this.mm, TEXT, TEXT + 4 * PAGE_BYTES, STACK_TOP - 2 * KIB);
    this.read(TEXT, 2);
    this.write(DATA, 1);
    this.write(HEAP, 3);
    this.read(HEAP + 4 * PAGE_BYTES, 1);
    this.write(this.privateAt, 10);
    this.write(this.sharedAt, 3);
    this.write(STACK_TOP - 2 * PAGE_BYTES, 2);
  }

  stops(child: MmRef): TourStop[] {
    const { memory } = this.kernel;
    const numberOf = (mm: MmRef): number => memory.read(contextOf(mm) + MmContext.ctxId);
    const [pid, childPid] = [numberOf(this.mm), numberOf(child)];
    const at = (address: number, access: string, what: string, who = pid): TourStop => ({
      pid: who,
      address,
      access,
      what,
    });
    return [
      at(TEXT + 8, "exec", "the program's text: present, not writable, executable"),
      at(
        HEAP + PAGE_BYTES,
        "read",
        "the heap: a page that was written before the fork, shared with the child",
      ),
      at(HEAP + PAGE_BYTES, "write", "the same for a write: copy on write"),
      at(HEAP, "write", "a page that the child has copied: nobody else's now", childPid),
      at(HEAP + 4 * PAGE_BYTES, "write", "a page that was only read: the page of zeros"),
      at(HEAP + 8 * PAGE_BYTES, "write", "a page that nobody has touched: demand zero"),
      at(this.sharedAt, "write", "shared memory: one frame for both processes"),
      at(this.noneAt, "read", "a page that may not be accessed (PROT_NONE)"),
      at(STACK_TOP - 1 * KIB, "read", "the stack"),
      at(STACK_TOP - (STACK_PAGES + 1) * PAGE_BYTES, "write", "just below the stack: it grows"),
      at(0x1000_0000_0000, "read", "nothing is mapped, and there is no table either"),
      at(
        virtualOf(contextOf(this.mm)),
        "read",
        "a kernel address: the direct map, in large pages, not for programs",
      ),
    ];
  }

  write(start: number, pages: number): void {
    for (let k = 0; k < pages; k++) this.kernel.paging.user.write(start + k * PAGE_BYTES, start + k);
  }

  read(start: number, pages: number): void {
    for (let k = 0; k < pages; k++) this.kernel.paging.user.read(start + k * PAGE_BYTES);
  }

  private file(pages: number): FileRef {
    const { shmem } = this.kernel.processes;
    const file = shmem.create();
    if (file === 0 || shmem.truncate(file, pages * PAGE_BYTES) !== 0) bug("no memory for the tour's file");
    return file;
  }

  /** At `address`, or where the kernel places it (0). */
  private map(address: number, pages: number, prot: number, flags: number, file: FileRef = 0): number {
    const { calls, files } = this.kernel.processes;
    const got = calls.mmap(this.mm, {
      address,
      bytes: pages * PAGE_BYTES,
      prot,
      flags: address === 0 ? flags : flags | FIXED,
      file: file === 0 ? null : files.describe(file),
      offset: 0,
    });
    if (got < 0) bug(`the tour's mmap fails with ${-got}`);
    return got;
  }
}
