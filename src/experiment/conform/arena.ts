/**
 * The world of a trace: an address space that is full but for an arena, and its operations by the trace's names.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { FRAME_WORDS, PAGE_BYTES } from "../../memory/units.ts";
import { FileMode, type FileRef } from "../../process/file-layout.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "../../process/vm-area.ts";
import { Prot, VM_FLAG_LETTERS, VmFlag } from "../../process/vm-flags.ts";
import { permissionText } from "../../procfs/pid/areas.ts";
import { shareInKb, usageOf } from "../../procfs/pid/usage.ts";
import type { TraceHeader, TraceMap } from "./trace.ts";

const f = VmFlag;
/** vm.mmap_min_addr where the traces were recorded. */
const LOWEST_ADDRESS = 4096;
const FOREIGN_FLAGS = f.SHARED | f.MAYSHARE | f.MAYREAD | f.MAYWRITE | f.MAYEXEC;
/** Tables of functions that no anonymous VMA has. */
const FOREIGN_OPS = -1;
const NOT_COMPARED = new Set(["rd", "wr", "ex", "sd"]);

export class Arena {
  readonly kernel: Kernel;
  readonly mm: MmRef;
  readonly base: number;
  readonly pages: number;
  /** The trace's open files by name: A, B, and A once more, read-only. */
  readonly files: ReadonlyMap<string, FileRef>;

  private constructor(
    kernel: Kernel,
    mm: MmRef,
    { base, pages, files }: Pick<Arena, "base" | "pages" | "files">,
  ) {
    this.kernel = kernel;
    this.mm = mm;
    this.base = base;
    this.pages = pages;
    this.files = files;
  }

  /** The empty world; the program that runs here is in it. */
  static make(kernel: Kernel, header: TraceHeader): Arena {
    const { processes } = kernel;
    processes.start();
    const mm = processes.spaces.make();
    if (mm === 0) throw new Error("no memory for an address space");
    const arena = new Arena(kernel, mm, {
      base: Number(header.base),
      pages: header.pages,
      files: makeFiles(kernel, header),
    });
    const taskSize = kernel.memory.readFloat64(mm + MmStruct.taskSize);
    arena.occupy(LOWEST_ADDRESS, arena.base);
    arena.occupy(arena.address(arena.pages), taskSize);
    processes.use(mm);
    return arena;
  }

  /** A child's copy, in which nobody runs yet. */
  fork(): Arena {
    const mm = this.kernel.processes.calls.fork(this.mm);
    if (mm < 0) throw new Error("no memory for a child");
    for (const file of this.files.values()) this.kernel.processes.files.get(file);
    return new Arena(this.kernel, mm, this);
  }

  /** The program goes on in this address space. */
  enter(): void {
    this.kernel.processes.use(this.mm);
  }

  /** Its only user leaves; the program is in no address space then. */
  end(): void {
    const { processes } = this.kernel;
    processes.use(0);
    processes.spaces.put(this.mm);
    for (const file of this.files.values()) processes.files.put(file);
  }

  /** The byte address of a page of the arena. */
  address(page: number, byte = 0): number {
    return this.base + page * PAGE_BYTES + byte;
  }

  pageOf(address: number): number {
    return Math.floor((address - this.base) / PAGE_BYTES);
  }

  /** All mappings within the arena, as the trace has them. */
  maps(): TraceMap[] {
    const { vmas } = this.kernel.processes;
    const end = this.address(this.pages);
    return vmas.overlapping(this.mm, this.base, end).map((area) => this.describe(area));
  }

  private describe(area: VmaRef): TraceMap {
    const { vmas } = this.kernel.processes;
    const flags = vmas.flagsOf(area);
    const usage = usageOf(this.kernel, this.mm, area);
    const kind = this.kindOf(area);
    const letters = VM_FLAG_LETTERS.filter(([flag]) => (flags & flag) !== 0).map(([, two]) => two);
    const compared = letters.filter((two) => !NOT_COMPARED.has(two));
    return {
      start: this.pageOf(vmas.startOf(area)),
      end: this.pageOf(vmas.endOf(area)),
      perm: permissionText(flags),
      offset: kind === "anon" ? 0 : vmas.pgoffOf(area),
      kind,
      rss: usage.resident / PAGE_BYTES,
      anon: usage.anonymous / PAGE_BYTES,
      thp: 0,
      locked: shareInKb(usage.pssLocked),
      swap: 0,
      flags: compared.toSorted().join(" "),
      pss: shareInKb(usage.pss),
      sharedClean: usage.sharedClean / 1024,
      sharedDirty: usage.sharedDirty / 1024,
      privateClean: usage.privateClean / 1024,
      privateDirty: usage.privateDirty / 1024,
      // The recording kernel has no soft-dirty bits.
      vmFlags: letters.filter((two) => two !== "sd").join(" "),
    };
  }

  private kindOf(area: VmaRef): string {
    const file = this.kernel.memory.read(area + VmArea.file);
    if (file === 0) return "anon";
    for (const [name, at] of this.files) if (at === file) return name === "B" ? "fileB" : "fileA";
    return "shm";
  }

  /** A mapping that nothing merges with, and that nobody touches. */
  private occupy(start: number, end: number): void {
    const { vmas, mmapLocks, accounting } = this.kernel.processes;
    mmapLocks.writeLock(this.mm);
    const area = vmas.make(this.mm, { start, end, flags: FOREIGN_FLAGS, pgoff: 0, ops: FOREIGN_OPS });
    if (area === 0 || vmas.link(this.mm, area) !== 0) throw new Error("no memory for a VMA");
    accounting.count(this.mm, FOREIGN_FLAGS, (end - start) / PAGE_BYTES);
    mmapLocks.writeUnlock(this.mm);
  }
}

/** File A is written throughout, B is one hole. */
function makeFiles({ processes }: Kernel, header: TraceHeader): Map<string, FileRef> {
  if (header.files === null) return new Map();
  const { A, B } = header.files;
  const { shmem, files } = processes;
  const [a, b] = [shmem.create(), shmem.create()];
  const aro = a === 0 ? 0 : files.open(files.inodeOf(a), FileMode.READ);
  if (a === 0 || b === 0 || aro === 0) throw new Error("no memory for a file");
  for (let k = 0; k < A.pages; k++) {
    const words = Uint32Array.from({ length: FRAME_WORDS }, (_, i) => Number(A.fill) + k * 1024 + i);
    const written = shmem.write(a, k * PAGE_BYTES, bytesOfWords([...words]));
    if (written !== PAGE_BYTES) throw new Error("no memory for a file's page");
  }
  if (shmem.truncate(b, B.pages * PAGE_BYTES) !== 0) throw new Error("file B has no size");
  return new Map([
    ["A", a],
    ["B", b],
    ["Aro", aro],
  ]);
}

/** Words as bytes, the lowest first. */
export const bytesOfWords = (words: readonly number[]): number[] =>
  words.flatMap((word) => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24]);

/** "rw-" as bits. */
export const protOf = (text: string): number =>
  (text.includes("r") ? Prot.READ : 0) |
  (text.includes("w") ? Prot.WRITE : 0) |
  (text.includes("x") ? Prot.EXEC : 0);
