/**
 * `struct free_area`: the free blocks of one order in one zone, a list a migrate type.
 *
 * Linux: include/linux/mmzone.h struct free_area.
 */

import { align, embed, struct, word, wordsIn } from "../../memory/struct.ts";
import { alignUp } from "../../memory/units.ts";
import { ListHead } from "./list.ts";
import { MIGRATE_TYPES } from "./migrate-types.ts";

export const FreeArea = struct("free_area", {
  lists: embed(ListHead, "lock:zone.lock", MIGRATE_TYPES),
  nrFree: word("hint:zone.lock", "counter"),
  end: align(2),
});
/** Words from one order to the next. */
export const FREE_AREA_WORDS = alignUp(wordsIn(FreeArea), 2);
