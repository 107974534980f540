/**
 * What the words 5-15 of a struct page mean, by its type.
 *
 * Every overlay that puts pages on lists has the links first, so that one list code serves all.  A page's holder turns
 * it into a slab, a page table, and so on by `setPageType` and writes the overlay's words then.
 *
 * Linux: the unions of struct page, include/linux/mm_types.h (struct slab, ptdesc, folio).
 */

import { embed, float64, overlay, word } from "../../memory/struct.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { PAGE_LINKS, Page, PageType } from "./page.ts";

const links = (guard: "lock:zone.lock" | "lock:pcp.lock" | "holder") => ({
  next: word(guard, "pointer:list_head"),
  prev: word(guard, "pointer:list_head"),
});

const owned = (name: string, tag: number) =>
  overlay(Page, { name, tag, startWord: PAGE_LINKS }, { ...links("holder"), private: word("holder") });

overlay(Page, { name: "buddy", tag: PageType.BUDDY, startWord: PAGE_LINKS }, links("lock:zone.lock"));

overlay(Page, { name: "pcp", tag: PageType.PCP, startWord: PAGE_LINKS }, links("lock:pcp.lock"));

/** A block whose owner has not said more: links and one word are the owner's. */
export const AllocatedPage = owned("allocated", PageType.ALLOCATED);
owned("reserved", PageType.RESERVED);
owned("vmalloc", PageType.VMALLOC);
owned("percpu", PageType.PERCPU);
owned("large_kmalloc", PageType.LARGE_KMALLOC);

/** Tail of a compound block.  The first tail carries what the whole block has once, as in Linux. */
export const TailPage = overlay(
  Page,
  { name: "tail", tag: PageType.TAIL, startWord: PAGE_LINKS },
  {
    head: word("holder", "pointer:page"),
    /** First tail only: order of the block. */
    order: word("holder"),
    /** First tail only: mappings of the whole block, minus 1. */
    entireMapcount: word("atomic", "counter"),
    nrPagesMapped: word("atomic", "counter"),
    pincount: word("atomic", "counter"),
  },
);

export const SlabPage = overlay(
  Page,
  { name: "slab", tag: PageType.SLAB, startWord: PAGE_LINKS },
  {
    ...links("holder"),
    cache: word("holder", "pointer:kmem_cache"),
    /** Free index, objects in use and frozen in one word: one CAS.  See mm/slab/slab-word. */
    counters: word("hint:atomic"),
    objects: word("holder", "counter"),
    /** 1 while it is on its node's partial list. */
    onNodeList: word("lock:list_lock", "flags"),
    /** First slab of a CPU's partial list only: slabs on that list. */
    slabs: word("owner-cpu", "counter"),
    /** SLAB: where the indexes of its free objects are, if not behind its objects; 0 none.  SLOB: its first free block. */
    freelist: word("hint:list_lock", "pointer:object"),
    /** SLAB: its first object, behind its colour. */
    firstObject: word("holder", "pointer:object"),
    /** SLAB: objects that are in use or in arrays.  SLOB: free units. */
    active: word("lock:list_lock", "counter"),
  },
);

export const PageTablePage = overlay(
  Page,
  { name: "page_table", tag: PageType.PAGE_TABLE, startWord: PAGE_LINKS },
  {
    ...links("holder"),
    mm: word("holder", "pointer:mm_struct"),
    /** The split page-table lock: a spinlock. */
    lock: embed(SpinLock, "atomic"),
    level: word("holder"),
  },
);

const mapped = (mapping: "pointer:anon_vma" | "pointer:address_space") => ({
  ...links("holder"),
  mapping: word("holder", mapping),
  index: float64("holder"),
  private: word("holder"),
  /** Locked VMAs that map it, while it is UNEVICTABLE: see process/mlock-pages. */
  mlockCount: word("lock:lru_lock", "counter"),
});
export const AnonPage = overlay(
  Page,
  { name: "anon", tag: PageType.ANON, startWord: PAGE_LINKS },
  mapped("pointer:anon_vma"),
);
export const FilePage = overlay(
  Page,
  { name: "file", tag: PageType.FILE, startWord: PAGE_LINKS },
  mapped("pointer:address_space"),
);
