/**
 * `struct free_area`: the free blocks of one order in one zone, a list a migrate type.
 *
 * Linux: include/linux/mmzone.h struct free_area.
 */

import { align, array, struct, word, wordsIn } from "../../memory/struct.ts";
import { alignUp } from "../../memory/units.ts";
import { MIGRATE_TYPES } from "./migrate-types.ts";

export const FreeArea = struct("free_area", {
  /** List heads: next and prev for each migrate type. */
  lists: array(2 * MIGRATE_TYPES, "hint:zone.lock", "pointer:list_head"),
  nrFree: word("hint:zone.lock", "counter"),
  end: align(2),
});
/** Words from one order to the next. */
export const FREE_AREA_WORDS = alignUp(wordsIn(FreeArea), 2);
