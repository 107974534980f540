/**
 * The page walk of the hardware: from a virtual address to a frame, through tables in frames of RAM.
 *
 * A walk takes no lock.  It reads each entry's low word, its high word and the low word again, so that it never joins the
 * halves of two entries; and it sets ACCESSED and DIRTY by a compare-exchange of exactly the word that it has looked at,
 * as a locked cycle of the hardware does.  Rights are those of all levels together.
 *
 * Four levels, or five: a matter of the number given.  Virtual addresses are JavaScript numbers, those of the kernel's half
 * negative (sign-extended canonical form).
 *
 * Intel SDM vol. 3A, 4.5 to 4.7.  Not here: protection keys, SMEP and SMAP, reserved bits beyond PS in an upper level.
 */

import type { Memory } from "../memory/memory.ts";
import { frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import { ENTRY_WORDS, entryPfn, PageFault, PTE_HIGH_NX, PteBit } from "./page-table-entry.ts";

const { PRESENT, RW, USER, ACCESSED, DIRTY, PSE, GLOBAL } = PteBit;
const { PROT, WRITE, RSVD, INSTR } = PageFault;

/** What `walk` returns when the access is allowed; otherwise the error code of the fault. */
export const MAPPED = -1;
/** In `rights`: nothing may be fetched from here.  RW, USER, DIRTY and GLOBAL are as in an entry. */
export const RIGHT_NX = INSTR;

/** A page number is two parts, so that each fits a word: the low 31 bits, and the rest. */
const PAGE_LOW_BITS = 31;
const LOW_MASK = 0x7fffffff;
const HIGH_UNIT = PAGE_BYTES * 2 ** PAGE_LOW_BITS;
/** Page numbers have 45 bits with five levels. */
const HIGH_MASK = 0x3fff;
export const pageLow = (address: number): number => Math.floor(address / PAGE_BYTES) & LOW_MASK;
export const pageHigh = (address: number): number => Math.floor(address / HIGH_UNIT) & HIGH_MASK;

/** The word offset of the entry for a page in its table of `level`: 1 is a page table, the top is 4 or 5. */
export function entryOffset(low: number, high: number, level: number): number {
  if (level < 4) return ((low >> (9 * (level - 1))) & 511) * ENTRY_WORDS;
  if (level === 4) return (((high & 31) << 4) | (low >> 27)) * ENTRY_WORDS;
  return ((high >> 5) & 511) * ENTRY_WORDS;
}

export class PageWalker {
  declare private readonly memory: Memory;
  declare readonly levels: 4 | 5;
  // What the last walk found.  Whoever walks takes it at once.
  /** First frame of the page. */
  pfn: Pfn = 0;
  /** Rights of all levels together. */
  rights = 0;
  /** Level of the entry that maps the page: 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB. */
  level = 0;
  /** Where that entry is, or the one at which the walk ended. */
  entry: Pointer = 0;
  /** Rights of the levels above it. */
  upperRights = 0;

  constructor(memory: Memory, levels: 4 | 5 = 4) {
    this.memory = memory;
    this.levels = levels;
  }

  /**
   * Walks from the table in frame `root` for an access of kind `access` (WRITE, USER, INSTR); the result is in the
   * fields.  MAPPED, or the error code.
   */
  walk(root: Pfn, address: number, access: number): number {
    return this.walkFrom(root, this.levels, RW | USER, address, access);
  }

  /** The same from the table of `level` in frame `start`, below which the tables allow `above`. */
  walkFrom(start: Pfn, startLevel: number, above: number, address: number, access: number): number {
    const low = pageLow(address);
    const high = pageHigh(address);
    let rights = above;
    let table = frameOf(start);
    for (let level = startLevel; ; ) {
      const at = table + entryOffset(low, high, level);
      const { memory } = this;
      const word = memory.load(at);
      const upper = memory.read(at + 1);
      if (memory.load(at) !== word) continue;
      this.entry = at;
      this.level = level;
      if ((word & PRESENT) === 0) return access;
      const isLeaf = level === 1 || (word & PSE) !== 0;
      if (isLeaf && level > 3) return access | PROT | RSVD;
      const joined =
        (rights & word & (RW | USER)) | (rights & RIGHT_NX) | ((upper & PTE_HIGH_NX) === 0 ? 0 : RIGHT_NX);
      if (isLeaf && isForbidden(joined, access)) return access | PROT;
      const wanted = word | ACCESSED | (isLeaf && (access & WRITE) !== 0 ? DIRTY : 0);
      if (wanted !== word && memory.cas(at, word, wanted) !== word) continue;
      this.upperRights = rights;
      rights = joined;
      const pfn = entryPfn(word, upper);
      if (isLeaf) {
        this.pfn = pfn;
        this.rights = rights | (wanted & (DIRTY | GLOBAL));
        return MAPPED;
      }
      table = frameOf(pfn);
      level--;
    }
  }

  /** The walk of who only looks, at rest: no bit is set, no right is asked for. */
  look(root: Pfn, address: number): number {
    const { memory } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    let table = frameOf(root);
    for (let level: number = this.levels; level > 0; level--) {
      const at = table + entryOffset(low, high, level);
      const word = memory.read(at);
      this.entry = at;
      this.level = level;
      if ((word & PRESENT) === 0) return 0;
      const pfn = entryPfn(word, memory.read(at + 1));
      if (level === 1 || (word & PSE) !== 0) {
        this.pfn = pfn;
        break;
      }
      table = frameOf(pfn);
    }
    return MAPPED;
  }
}

/** Whether `rights` lack what an access wants.  The kernel, too, is bound by write protection (CR0.WP). */
export function isForbidden(rights: number, access: number): boolean {
  return ((access & (WRITE | PageFault.USER) & ~rights) | (access & rights & INSTR)) !== 0;
}
