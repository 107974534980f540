/** The settings of object caches: Linux's boot parameters slab_debug= and slab_nomerge, and what goes with them. */

import { UsageError } from "../memory/bug.ts";
import { DEFAULT_SHAPE, type SlabKind } from "../memory/shape.ts";
import { DEFAULT_SLAB_SETTINGS, parseSlabDebug, type SlabSettings } from "../mm/slab/slab-settings.ts";

/** What a user writes. */
export interface SlabChoice {
  /** Debugging of object caches, as Linux's slab_debug=: "FZPU", "P,kmalloc-*;FZ,other".  Default: none. */
  readonly slabDebug?: string;
  /** The first report of a damaged object stops the machine.  Default false. */
  readonly slabPanic?: boolean;
  /** Caches of like objects share their slabs.  Default true. */
  readonly slabMerge?: boolean;
  /** Objects of a new slab are handed out in a random order.  Default false. */
  readonly slabRandom?: boolean;
}

export const SLAB_CHOICE_KEYS = ["slabDebug", "slabPanic", "slabMerge", "slabRandom"] as const;

/** What only SLUB does. */
const OF_SLUB = ["slabDebug", "slabPanic", "slabRandom"] as const;

/** Checked, for the allocator `slab`. */
export function slabSettingsOf(choice: SlabChoice, slab: SlabKind = DEFAULT_SHAPE.slab): SlabSettings {
  for (const key of OF_SLUB) {
    if (slab === "slub" || (choice[key] ?? "") === "" || choice[key] === false) continue;
    throw new UsageError(
      `${key}: "${choice[key]}" is not valid: only slab "slub" does that, slab is "${slab}"`,
    );
  }
  const debug = choice.slabDebug ?? DEFAULT_SLAB_SETTINGS.debug;
  const parsed = parseSlabDebug(debug);
  if (typeof parsed === "string")
    throw new UsageError(
      `slabDebug: "${debug}" is not valid: ${parsed}; for example FZPU, or P,kmalloc-*;FZ,other`,
    );
  return {
    debug,
    panic: choice.slabPanic ?? DEFAULT_SLAB_SETTINGS.panic,
    merge: choice.slabMerge ?? DEFAULT_SLAB_SETTINGS.merge,
    random: choice.slabRandom ?? DEFAULT_SLAB_SETTINGS.random,
  };
}
