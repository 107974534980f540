/** The settings of object caches: Linux's boot parameters slab_debug= and slab_nomerge, and what goes with them. */

import { UsageError } from "../memory/bug.ts";
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

export function slabSettingsOf(choice: SlabChoice): SlabSettings {
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
