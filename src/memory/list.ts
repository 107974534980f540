/**
 * Circular doubly linked lists through words of RAM.
 *
 * A head and a link are the same: two words, next and prev.  A link that is on no list points to itself.
 *
 * Linux: include/linux/list.h.
 */

import { bug } from "./bug.ts";
import type { Memory } from "./memory.ts";
import { struct, word } from "./struct.ts";
import type { Pointer } from "./units.ts";

export const ListHead = struct("list_head", {
  next: word("holder", "pointer:list_head"),
  prev: word("holder", "pointer:list_head"),
});

/** Makes `head` an empty list.  Linux: INIT_LIST_HEAD. */
export function listInit(memory: Memory, head: Pointer): void {
  memory.write(head, head);
  memory.write(head + 1, head);
}

/** Whether `head` is an empty list, or a link is on none.  Linux: list_empty. */
export function listIsEmpty(memory: Memory, head: Pointer): boolean {
  return memory.read(head) === head;
}

/** Inserts `link` first.  Linux: list_add. */
export function listAdd(memory: Memory, link: Pointer, head: Pointer): void {
  const next = memory.read(head);
  memory.write(next + 1, link);
  memory.write(link, next);
  memory.write(link + 1, head);
  memory.write(head, link);
}

/** Inserts `link` last.  Linux: list_add_tail. */
export function listAddTail(memory: Memory, link: Pointer, head: Pointer): void {
  const prev = memory.read(head + 1);
  memory.write(head + 1, link);
  memory.write(link, head);
  memory.write(link + 1, prev);
  memory.write(prev, link);
}

/** Takes `link` out; its own words keep their values.  Linux: list_del. */
export function listDel(memory: Memory, link: Pointer): void {
  const next = memory.read(link);
  const prev = memory.read(link + 1);
  memory.write(next + 1, prev);
  memory.write(prev, next);
}

/** Takes `link` out and leaves it on no list.  Linux: list_del_init. */
export function listDelInit(memory: Memory, link: Pointer): void {
  const next = memory.read(link);
  const prev = memory.read(link + 1);
  memory.write(next + 1, prev);
  memory.write(prev, next);
  memory.write(link, link);
  memory.write(link + 1, link);
}

/** Length of a list, at rest; a bug when its links disagree or it is longer than `limit`. */
export function checkedListLength(memory: Memory, head: Pointer, name: string, limit: number): number {
  let count = 0;
  let previous = head;
  for (let link = memory.read(head); link !== head; link = memory.read(link)) {
    const back = memory.read(link + 1);
    if (back !== previous) bug(`${name}: entry ${link} has prev ${back}, expected ${previous}`);
    if (++count > limit) bug(`${name}: more than ${limit} entries: its links run in a circle`);
    previous = link;
  }
  const last = memory.read(head + 1);
  if (last !== previous) bug(`${name}: head has prev ${last}, expected ${previous}`);
  return count;
}
