/**
 * What a page must look like when it is freed and when it is given out; a page in a bad state stops the machine.
 *
 * Linux: mm/page_alloc.c free_page_is_bad, check_new_page, bad_page; mm/debug.c __dump_page.  Differs: the type word
 * carries the order of an allocated block, so a free of the wrong order is always found; heads are always checked, the
 * tails of a freed block with `checks` only, or when they must be written because the block is compound.
 */

import { bug } from "../../memory/bug.ts";
import { shape } from "../../memory/shape.ts";
import { Work } from "../../memory/work.ts";
import type { Frames } from "./frames.ts";
import { PAGE_WORDS, Page, type PageRef, PageType, pageTypeAt } from "./page.ts";
import {
  FLAGS_CHECK_AT_FREE,
  FLAGS_CHECK_AT_PREP,
  FLAGS_MASK,
  formatPageFlags,
  PageFlag,
} from "./page-flags.ts";
import { TailPage } from "./page-overlays.ts";

const { PAGE_CHECK, TAIL_PREPARE } = Work;
const pageField = Page;
const tailField = TailPage;
const checksTails = shape.checks;
const { NONE, PCP, ALLOCATED, TAIL, ANON, RESERVED } = PageType;

const TYPE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(PageType).map(([name, tag]) => [tag, name.toLowerCase()]),
);

/**
 * A block's head and tails as `__free_pages` must find them, made ready for the free lists: flags cleared, type NONE.
 * Linux: free_pages_prepare.
 */
export function prepareFree(frames: Frames, page: PageRef, order: number): void {
  const { memory } = frames;
  if (memory.read(page + pageField.type) !== (ALLOCATED | (order << 8))) checkTypeAtFree(frames, page, order);
  const flags = memory.read(page + pageField.flags);
  const references = memory.read(page + pageField.refcount);
  const mappings = memory.read(page + pageField.mapcount) + 1;
  if (((flags & FLAGS_CHECK_AT_FREE) | references | mappings) !== 0) reportBadFree(frames, page);
  if (order !== 0) prepareTails(frames, page, order, (flags & PageFlag.HEAD) !== 0);
  if ((flags & FLAGS_MASK) !== 0) memory.write(page + pageField.flags, flags & ~FLAGS_MASK);
  memory.write(page + pageField.type, NONE);
}

/** A block that is about to be given out: no flags, references or mappings.  Linux: check_new_page. */
export function checkNewPage(frames: Frames, page: PageRef): void {
  const { memory } = frames;
  const flags = memory.read(page + pageField.flags) & FLAGS_CHECK_AT_PREP;
  const references = memory.read(page + pageField.refcount);
  const mappings = memory.read(page + pageField.mapcount) + 1;
  const buddy = memory.read(page + pageField.buddy);
  if ((flags | references | mappings | buddy) === 0) return;
  badPage(
    frames,
    page,
    mappings !== 0
      ? "nonzero mapcount"
      : references !== 0
        ? "nonzero _refcount"
        : buddy !== 0
          ? "page is on a free list"
          : "PAGE_FLAGS_CHECK_AT_PREP flag(s) set",
  );
}

/** Every frame of a block that is about to be given out.  Linux: check_new_pages. */
export function checkNewPages(frames: Frames, page: PageRef, order: number): void {
  const end = page + (PAGE_WORDS << order);
  frames.memory.work(PAGE_CHECK, 1 << order);
  for (let at = page; at < end; at += PAGE_WORDS) checkNewPage(frames, at);
}

/** Makes `page` the head of a compound block.  Linux: prep_compound_page. */
export function prepareCompound(frames: Frames, page: PageRef, order: number): void {
  const { memory } = frames;
  const end = page + (PAGE_WORDS << order);
  for (let tail = page + PAGE_WORDS; tail < end; tail += PAGE_WORDS) {
    memory.write(tail + pageField.type, TAIL);
    memory.write(tail + tailField.head, page);
  }
  const first = page + PAGE_WORDS;
  memory.write(first + tailField.order, order);
  memory.write(first + tailField.entireMapcount, -1);
  memory.write(first + tailField.nrPagesMapped, 0);
  memory.write(first + tailField.pincount, 0);
  memory.or(page + pageField.flags, PageFlag.HEAD);
}

/** Stops the machine with what is known of `page`.  Linux: bad_page. */
export function badPage(frames: Frames, page: PageRef, reason: string): never {
  bug(
    `BUG: Bad page state  pfn:${frames.pfnOf(page).toString(16).padStart(5, "0")}\n` +
      `${describePage(frames, page)}\npage dumped because: ${reason}`,
  );
}

/** What /proc and reports print of a page.  Linux: __dump_page. */
export function describePage(frames: Frames, page: PageRef): string {
  const { memory } = frames;
  const type = pageTypeAt((address) => memory.read(address), page);
  const order = memory.read(page + pageField.type) >> 8;
  const raw = Array.from({ length: PAGE_WORDS }, (_, i) =>
    (memory.read(page + i) >>> 0).toString(16).padStart(8, "0"),
  );
  return [
    `page: refcount:${memory.read(page + pageField.refcount)} mapcount:${memory.read(page + pageField.mapcount) + 1} ` +
      `pfn:0x${frames.pfnOf(page).toString(16)}`,
    `flags: ${formatPageFlags(memory.read(page + pageField.flags))}`,
    `page_type: ${type}(${TYPE_NAMES[type] ?? "?"}) order:${order}`,
    `raw: ${raw.slice(0, 8).join(" ")}`,
    `raw: ${raw.slice(8).join(" ")}`,
  ].join("\n");
}

function prepareTails(frames: Frames, page: PageRef, order: number, isCompound: boolean): void {
  const { memory } = frames;
  const end = page + (PAGE_WORDS << order);
  memory.work(TAIL_PREPARE, (1 << order) - 1);
  if (!checksTails && !isCompound) return;
  const expected = isCompound ? TAIL : NONE;
  for (let tail = page + PAGE_WORDS; tail < end; tail += PAGE_WORDS) {
    const flags = memory.read(tail + pageField.flags);
    const references = memory.read(tail + pageField.refcount);
    const mappings = memory.read(tail + pageField.mapcount) + 1;
    if (((flags & FLAGS_CHECK_AT_FREE) | references | mappings) !== 0) reportBadFree(frames, tail);
    if (memory.read(tail + pageField.type) !== expected) badPage(frames, tail, "corrupted type in tail page");
    if (isCompound) {
      if (memory.read(tail + tailField.head) !== page) badPage(frames, tail, "compound_head not consistent");
      memory.write(tail + pageField.type, NONE);
    }
    if ((flags & FLAGS_MASK) !== 0) memory.write(tail + pageField.flags, flags & ~FLAGS_MASK);
  }
}

/** Whatever is not an allocated block of this order: who frees it, and what is wrong. */
function checkTypeAtFree(frames: Frames, page: PageRef, order: number): void {
  const { memory } = frames;
  const word = memory.read(page + pageField.type);
  const type = word & 0xff;
  if (memory.read(page + pageField.buddy) !== 0)
    badPage(frames, page, "double free: the page is in the buddy");
  if (type === PCP) badPage(frames, page, "double free: the page is on a per-CPU list");
  if (type === RESERVED) badPage(frames, page, "free of a reserved page");
  if (type === TAIL) badPage(frames, page, "free of a tail page");
  if (type === NONE) badPage(frames, page, "free of a page that heads no allocated block");
  if (word >> 8 !== order) badPage(frames, page, `free of order ${order}, allocated with order ${word >> 8}`);
  // The last mapping of an anonymous page leaves its type behind, as Linux leaves page->mapping.
  if (type !== ALLOCATED && type !== ANON)
    badPage(frames, page, `page type ${TYPE_NAMES[type] ?? type} not cleared`);
}

function reportBadFree(frames: Frames, page: PageRef): never {
  const { memory } = frames;
  if (memory.read(page + pageField.mapcount) !== -1) badPage(frames, page, "nonzero mapcount");
  if (memory.read(page + pageField.refcount) !== 0) badPage(frames, page, "nonzero _refcount");
  badPage(frames, page, "PAGE_FLAGS_CHECK_AT_FREE flag(s) set");
}
