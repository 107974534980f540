/**
 * Address spaces: made, shared and ended.
 *
 * `users` counts the tasks that run in one, `count` the references to the structure, all users being one of them: what the
 * last user leaves behind is torn down, and the structure stays while a CPU still has it loaded.
 *
 * Linux: kernel/fork.c mm_alloc, mm_init, mmput, mmdrop.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { wordsIn } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer, pfnOf } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { Page, PageType } from "../mm/pages/page.ts";
import { SlabPage } from "../mm/pages/page-overlays.ts";
import { MAP_WINDOW_END, userEnd } from "../mm/pgtable/address-range.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import { LockClass } from "../sync/lock-class.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { Accounting } from "./accounting.ts";
import type { ProcessCaches } from "./process-caches.ts";
import type { Rss } from "./rss.ts";
import { contextOf, type MmRef, MmStruct, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import { ALL_CAPABILITIES, type VmSettings } from "./vm-settings.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;

/** Bytes of user addresses that a program uses unless it asks for more.  Linux: TASK_SIZE_LOW. */
export const TASK_SIZE = MAP_WINDOW_END;

export interface AddressSpaceParts {
  readonly memory: Memory;
  readonly slabs: SlabCaches;
  readonly rwsems: RwSemaphores;
  readonly caches: ProcessCaches;
  readonly vmas: Vmas;
  readonly tables: PageTables;
  readonly rss: Rss;
  readonly accounting: Accounting;
  readonly unmapper: FullUnmapper;
  readonly vmSettings: VmSettings;
}

type Limits = Pick<VmSettings, "rlimitAs" | "rlimitData" | "rlimitStack" | "rlimitMemlock">;

/** Takes all pages and tables of an address space that ends. */
export interface FullUnmapper {
  unmapAll(at: MmRef, areas: readonly VmaRef[], end: number): void;
}

export class AddressSpaces {
  declare readonly vmas: Vmas;
  declare private readonly memory: Memory;
  declare private readonly slabs: SlabCaches;
  declare private readonly rwsems: RwSemaphores;
  declare private readonly caches: ProcessCaches;
  declare private readonly parts: AddressSpaceParts;

  constructor(parts: AddressSpaceParts) {
    this.memory = parts.memory;
    this.slabs = parts.slabs;
    this.rwsems = parts.rwsems;
    this.parts = parts;
    this.caches = parts.caches;
    this.vmas = parts.vmas;
  }

  /** An empty address space with one user, or 0.  Linux: mm_alloc. */
  make(mmapBase = TASK_SIZE): MmRef {
    const { memory } = this;
    const at = this.slabs.alloc(this.caches.mm, Gfp.KERNEL);
    if (at === 0) return 0;
    memory.fill(at, wordsIn(MmStruct), 0);
    this.vmas.trees.format(at + mm.tree);
    this.rwsems.format(at + mm.mmapLock, LockClass.MMAP);
    memory.writeFloat64(at + mm.taskSize, userEnd(this.parts.tables.levels));
    memory.writeFloat64(at + mm.mmapBase, mmapBase);
    this.setLimits(at, this.parts.vmSettings);
    memory.write(at + mm.capabilities, this.parts.vmSettings.privileged ? ALL_CAPABILITIES : 0);
    memory.store(at + mm.lockSeq, 0);
    memory.store(at + mm.users, 1);
    memory.store(at + mm.count, 1);
    if (this.parts.rss.init(at)) {
      if (this.parts.tables.initContext(contextOf(at))) return at;
      this.parts.rss.destroy(at);
    }
    this.slabs.free(this.caches.mm, at);
    return 0;
  }

  /** Limits, in bytes; Infinity for none.  Those that are not named stay.  Linux: setrlimit. */
  setLimits(at: MmRef, limits: Partial<Limits>): void {
    const { memory } = this;
    const set = (field: number, value: number | undefined): void => {
      if (value !== undefined) memory.writeFloat64(at + field, value);
    };
    const pages = (bytes?: number): number | undefined => bytes && Math.floor(bytes / PAGE_BYTES);
    set(mm.limitPages, pages(limits.rlimitAs));
    set(mm.limitDataPages, pages(limits.rlimitData));
    set(mm.limitLockedPages, pages(limits.rlimitMemlock));
    set(mm.limitStackBytes, limits.rlimitStack);
  }

  /** Linux: capset.  Capability bits. */
  setCapabilities(at: MmRef, capabilities: number): void {
    this.memory.write(at + mm.capabilities, capabilities);
  }

  /** What reports are to call the program's text and stack.  Linux: mm_struct start_code, end_code, start_stack. */
  placeImage(at: MmRef, startCode: number, endCode: number, startStack: number): void {
    this.memory.writeFloat64(at + mm.startCode, startCode);
    this.memory.writeFloat64(at + mm.endCode, endCode);
    this.memory.writeFloat64(at + mm.startStack, startStack);
  }

  /** Where the heap of a new program begins, empty as yet.  Linux: fs/binfmt_elf.c load_elf_binary, start_brk and brk. */
  placeHeap(at: MmRef, start: number): void {
    this.memory.writeFloat64(at + mm.startBrk, start);
    this.memory.writeFloat64(at + mm.brk, start);
  }

  /** Whether a context with page tables is the first part of an mm_struct: it may be somebody else's. */
  isMm(context: Pointer): boolean {
    const page = this.parts.tables.pages.frames.pageOf(pfnOf(context));
    const isSlab = (this.memory.read(page + Page.type) & 0xff) === PageType.SLAB;
    return isSlab && this.memory.read(page + SlabPage.cache) === this.caches.mm;
  }

  /** Linux: mmget. */
  get(at: MmRef): void {
    this.memory.add(at + mm.users, 1);
  }

  /** One more user, unless the last one has gone.  Linux: mmget_not_zero. */
  getNotZero(at: MmRef): boolean {
    const { memory } = this;
    for (let users = memory.load(at + mm.users); users !== 0; ) {
      const found = memory.cas(at + mm.users, users, users + 1);
      if (found === users) return true;
      users = found;
    }
    return false;
  }

  /** The last user unmaps everything.  Linux: mmput, exit_mmap.  @may-sleep */
  put(at: MmRef): void {
    const users = this.memory.add(at + mm.users, -1);
    if (users < 1) bug(`mmput of mm at word ${at}, which has ${users} users`);
    if (users > 1) return;
    this.exit(at);
    this.drop(at);
  }

  /** Linux: mmgrab. */
  grab(at: MmRef): void {
    this.memory.add(at + mm.count, 1);
  }

  /** Linux: mmdrop. */
  drop(at: MmRef): void {
    const count = this.memory.add(at + mm.count, -1);
    if (count < 1) bug(`mmdrop of mm at word ${at}, which has ${count} references`);
    if (count > 1) return;
    this.parts.tables.endContext(contextOf(at));
    this.parts.rss.destroy(at);
    this.slabs.free(this.caches.mm, at);
  }

  /** Linux: exit_mmap. */
  private exit(at: MmRef): void {
    const { vmas, memory } = this;
    vmas.locks.writeLock(at);
    const end = memory.readFloat64(at + mm.taskSize);
    const areas = vmas.overlapping(at, 0, end);
    this.parts.unmapper.unmapAll(at, areas, end);
    for (const area of areas) {
      if ((vmas.flagsOf(area) & VmFlag.ACCOUNT) !== 0) this.parts.accounting.uncommit(vmas.pagesOf(area));
      vmas.detach(area);
      vmas.anonVmas.unlink(area);
      vmas.closed(area);
      vmas.free(area);
    }
    vmas.trees.destroy(at + mm.tree);
    memory.write(at + mm.mapCount, 0);
    vmas.locks.writeUnlock(at);
  }
}
