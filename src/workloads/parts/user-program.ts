/**
 * A program of one CPU that maps regions of private anonymous memory, or of its file, and uses them.
 *
 * With the option `verify` it stamps the first word of each page that it touches, and looks later whether the stamp is
 * there, and zeros behind it: a page that two mappings have been given, or that was not cleared, is noticed.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";
import { Madvice } from "../../process/madvise.ts";
import { MapFlag, type MappedFile } from "../../process/mmap.ts";
import type { MmRef } from "../../process/vm-area.ts";
import { Prot } from "../../process/vm-flags.ts";
import type { OptionDescription } from "../description.ts";
import type { UserSpaces } from "./user-space.ts";

export const VERIFY_OPTION = {
  verify: {
    type: "boolean",
    default: false,
    help: "pages are stamped and looked at again; smpsim stress does it unless told not to",
  },
} as const satisfies Record<string, OptionDescription>;

/** What `smpsim stress` sets unless it is told otherwise. */
export const VERIFY_DEFAULTS = { verify: true } as const;

/** One CPU's program: it runs in its address space from `enter` to `leave`. */
export class UserProgram {
  readonly mm: MmRef;
  private readonly kernel: Kernel;
  /** This CPU's file; null for none. */
  private readonly file: MappedFile | null;
  /** What the next touch writes. */
  private stamp = 0;

  constructor(kernel: Kernel, { mms, files }: UserSpaces) {
    this.kernel = kernel;
    this.file = files.length === 0 ? null : kernel.processes.files.describe(files[kernel.cpu.id]);
    this.mm = mms[kernel.cpu.id % mms.length];
  }

  enter(): void {
    this.kernel.processes.use(this.mm);
  }

  /** All CPUs are through: until then an address space is loaded wherever its program runs. */
  leave(): void {
    this.kernel.gate();
    this.kernel.processes.use(0);
  }

  /** A new region of private anonymous memory, at `address` or where there is room (0). */
  map(pages: number, address = 0): number {
    return this.mmap(pages, address, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null);
  }

  /** The first pages of this CPU's file, shared or private. */
  mapFile(pages: number, isShared: boolean): number {
    return this.mmap(pages, 0, isShared ? MapFlag.SHARED : MapFlag.PRIVATE, this.file);
  }

  /** Gives pages back: private ones are zeros, or the file's, when they are read again. */
  drop(start: number, pages: number): void {
    const { calls } = this.kernel.processes;
    const result = calls.madvise(this.mm, start, pages * PAGE_BYTES, Madvice.DONTNEED);
    if (result !== 0) bug(`cpu ${this.kernel.cpu.id}: madvise of ${pages} pages gives ${result}`);
  }

  unmap(start: number, pages: number): void {
    const result = this.kernel.processes.calls.munmap(this.mm, start, pages * PAGE_BYTES);
    if (result !== 0) bug(`cpu ${this.kernel.cpu.id}: munmap of ${pages} pages gives ${result}`);
  }

  /** Writes to each page; what, is told by `stampOf`. */
  touch(start: number, pages: number): void {
    const { user } = this.kernel.paging;
    this.stamp = (this.stamp + 1) & 0x3f_ffff;
    const value = this.lastStamp;
    for (let page = 0; page < pages; page++) user.write(start + page * PAGE_BYTES, value);
  }

  /** What the last `touch` has written: no two CPUs' are equal. */
  get lastStamp(): number {
    return (this.stamp << 8) | this.kernel.cpu.id;
  }

  /** Each page has `stamp` in its first word, and zeros in the others that are looked at. */
  verify(start: number, pages: number, stamp: number): void {
    const { user } = this.kernel.paging;
    for (let page = 0; page < pages; page++) {
      const at = start + page * PAGE_BYTES;
      const found = user.read(at);
      if (found !== stamp) this.wrong(at, `holds ${found}, ${stamp} was written`);
      const behind = user.read(at + WORD_BYTES) | user.read(at + PAGE_BYTES - WORD_BYTES);
      if (behind !== 0) this.wrong(at, `was not cleared: it holds ${behind}`);
    }
  }

  /** The word at an address is `value`. */
  expect(address: number, value: number): void {
    const found = this.kernel.paging.user.read(address);
    if (found !== value) this.wrong(address, `holds ${found}, expected ${value}`);
  }

  private mmap(pages: number, address: number, kind: number, file: MappedFile | null): number {
    const { calls } = this.kernel.processes;
    const flags = kind | (address === 0 ? 0 : MapFlag.FIXED);
    const prot = Prot.READ | Prot.WRITE;
    const request = { address, bytes: pages * PAGE_BYTES, prot, flags, file, offset: 0 };
    const start = calls.mmap(this.mm, request);
    if (start < 0) bug(`cpu ${this.kernel.cpu.id}: mmap of ${pages} pages gives ${start}`);
    return start;
  }

  private wrong(address: number, what: string): never {
    bug(`cpu ${this.kernel.cpu.id}: the page at 0x${address.toString(16)} ${what}`);
  }
}
