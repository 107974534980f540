/** Checks of SLOB at rest: O1 and O2 of slob, for every page of the machine that is a slab. */

import { bug } from "../../../memory/bug.ts";
import { checkedListLength } from "../../../memory/list.ts";
import { PAGE_LINKS, type PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { Slob } from "./slob.ts";
import { END, PAGE_UNITS } from "./slob-blocks.ts";
import { SlobGlobals } from "./structures.ts";

const LISTS = ["small", "medium", "large"] as const;

export function checkSlob(slob: Slob): void {
  const { memory } = slob.backing;
  const pages = slob.backing.all();
  const lists = listsOf(slob, pages.length);
  for (const slab of pages) {
    const name = nameOf(slob, slab);
    const list = lists.get(slab) ?? "no list";
    lists.delete(slab);
    if (memory.read(slab + SlabPage.objects) !== 0) {
      if (list !== "no list") bug(`O2 ${name} is one object, it is on ${list}`);
      continue;
    }
    const free = memory.read(slab + SlabPage.active);
    const isListed = list !== "no list";
    const flag = memory.read(slab + SlabPage.onNodeList) !== 0;
    if (free < 0 || free >= PAGE_UNITS || isListed !== free > 0 || flag !== isListed)
      bug(`O2 ${name}: ${free} units are free, onNodeList is ${flag ? 1 : 0}, it is on ${list}`);
    if (free > 0) checkBlocks(slob, slab, name, free);
  }
  for (const [slab, list] of lists) bug(`O2 ${list}: ${nameOf(slob, slab)} is no page of SLOB`);
}

function checkBlocks({ blocks, backing }: Slob, slab: PageRef, name: string, free: number): void {
  let sum = 0;
  let end = -1;
  for (let at = backing.memory.read(slab + SlabPage.freelist); at !== END; at = blocks.next(slab, at)) {
    const units = blocks.units(slab, at);
    if (at <= end || at < 0 || at + units > PAGE_UNITS)
      bug(`O1 ${name}: free block of ${units} units at unit ${at}, the one before ends at ${end}`);
    end = at + units;
    sum += units;
  }
  if (sum !== free) bug(`O1 ${name}: its free blocks have ${sum} units, ${free} are free`);
}

/** The list that each page is on. */
function listsOf(slob: Slob, pages: number): Map<PageRef, string> {
  const { memory } = slob.backing;
  const found = new Map<PageRef, string>();
  for (const [index, list] of LISTS.entries()) {
    const head = slob.globals + SlobGlobals.lists + 2 * index;
    const name = `list of ${list} blocks`;
    checkedListLength(memory, head, `O2 ${name}`, pages);
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const slab = link - PAGE_LINKS;
      const other = found.get(slab);
      if (other !== undefined) bug(`O2 ${name}: ${nameOf(slob, slab)} is on ${other}, too`);
      found.set(slab, name);
    }
  }
  return found;
}

function nameOf({ backing }: Slob, slab: PageRef): string {
  return `page ${backing.frames.pfnOf(slab)}`;
}
