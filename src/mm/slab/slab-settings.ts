/**
 * What a machine is told about its object caches, as a kernel is by its command line: `slab_debug=`, `slab_nomerge`, and
 * what happens after a report.
 *
 * Linux: mm/slub.c parse_slub_debug_flags, kmem_cache_flags.
 */

import { bug } from "../../memory/bug.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";

export interface SlabSettings {
  /** As Linux's slab_debug=: see parseSlabDebug.  "": no debugging but what caches ask for. */
  readonly debug: string;
  /** The first report of a damaged object stops the machine.  Linux: panic_on_taint with TAINT_BAD_PAGE. */
  readonly panic: boolean;
  /** Caches of like objects share their slabs.  Linux: not slab_nomerge. */
  readonly merge: boolean;
  /** The objects of a new slab are handed out in a random order.  Linux: CONFIG_SLAB_FREELIST_RANDOM. */
  readonly random: boolean;
}

export const DEFAULT_SLAB_SETTINGS: SlabSettings = { debug: "", panic: false, merge: true, random: false };

/** One block of slab_debug=. */
interface DebugBlock {
  readonly flags: number;
  /** Patterns of names, each with a "*" at its end or none; empty: all caches. */
  readonly names: readonly string[];
}

export interface SlabDebug {
  readonly blocks: readonly DebugBlock[];
  /** Debugging that makes slabs of a higher order is left out. */
  readonly keepsOrders: boolean;
}

const LETTERS: Readonly<Record<string, number>> = {
  F: SlabFlag.CONSISTENCY_CHECKS,
  Z: SlabFlag.RED_ZONE,
  P: SlabFlag.POISON,
  U: SlabFlag.STORE_USER,
};

/**
 * Blocks divided by ";": letters of F (consistency checks), Z (red zones), P (poison), U (who took and freed) and O (not
 * where slabs would become of a higher order), or "-" for none; then the names of the caches that it is for.  Without
 * letters it means FZPU.  What is wrong with the text, or its meaning.
 */
export function parseSlabDebug(text: string): SlabDebug | string {
  const blocks: DebugBlock[] = [];
  let keepsOrders = false;
  for (const block of text.split(";")) {
    if (block === "") continue;
    const [letters, ...names] = block.split(",");
    let flags = letters === "" ? SLAB_DEBUG_FLAGS : 0;
    for (const letter of letters.toUpperCase()) {
      if (letter === "O") keepsOrders = true;
      else if (letter === "-") flags = 0;
      else if (letter in LETTERS) flags |= LETTERS[letter];
      else return `option "${letter}" of "${block}" is unknown; valid are F, Z, P, U, O and -`;
    }
    const wrong = names.find((name) => !/^[\x21-\x7e]*\*?$/.test(name) || /\*./.test(name));
    if (wrong !== undefined)
      return `cache "${wrong}" of "${block}": a "*" is valid at the end of a name only`;
    blocks.push({ flags, names: names.filter((name) => name !== "") });
  }
  return { blocks, keepsOrders };
}

/** As `parseSlabDebug`, of a text that was looked at before. */
export function readSlabDebug(text: string): SlabDebug {
  const debug = parseSlabDebug(text);
  return typeof debug === "string" ? bug(`slabDebug: ${debug}`) : debug;
}

/** The flags of a cache: its own and what is asked for it.  The last block without names is for all that no other names. */
export function debugFlagsOf(debug: SlabDebug, flags: number, name: string): number {
  const fits = (pattern: string): boolean =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  const named = debug.blocks.find((block) => block.names.some(fits));
  const general = debug.blocks.findLast((block) => block.names.length === 0);
  return flags | ((named ?? general)?.flags ?? 0);
}
