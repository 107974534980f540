/**
 * `pg_data`: one NUMA node's zonelists, counters and kswapd words.  Its zones lie in the zone array, from
 * `node * ZONE_SLOTS`.
 *
 * Linux: include/linux/mmzone.h typedef struct pglist_data, struct zonelist.
 */

import { array, embed, pad, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { NODE_STAT_NAMES } from "./counters.ts";
import { MAX_NODES } from "./page-flags.ts";
import { ZONE_INDEXES } from "./zone-index.ts";

/** Word index of a pg_data. */
export type NodeRef = Pointer;

/** One place where an allocation looks. */
export const ZonelistEntry = struct("zoneref", {
  /** 0 ends the list. */
  zone: word("boot", "pointer:zone"),
  zoneIndex: word("boot"),
});
export const ZONELIST_ENTRY_WORDS = wordsIn(ZonelistEntry);

/** Zones in the order in which an allocation tries them. */
export const Zonelist = struct("zonelist", {
  entries: embed(ZonelistEntry, "boot", MAX_NODES * ZONE_INDEXES + 1),
});

export const Node = struct("pg_data", {
  id: word("boot"),
  nrZones: word("boot", "counter"),
  startPfn: word("boot", "pfn"),
  presentPages: word("boot", "counter"),
  spannedPages: word("boot", "counter"),
  /** Sum of what lowmem_reserve and the high marks keep from page cache and user pages. */
  totalReservePages: word("hint:zone.lock", "counter"),
  /** Per-CPU node counters of CPU 0. */
  nodestats: word("boot", "pointer:per_cpu_nodestat"),
  /** All nodes by distance; used unless __GFP_THISNODE. */
  lineLists: pad(),
  fallback: embed(Zonelist, "boot"),
  /** This node's own zones. */
  noFallback: embed(Zonelist, "boot"),

  lineKswapd: pad(),
  /** A spinlock: the node's LRU lists. */
  lruLock: embed(SpinLock, "atomic"),
  kswapd: word("boot", "pointer:task"),
  /** Set by an allocation, cleared by kswapd before it sleeps. */
  kswapdWanted: word("atomic", "flags"),
  kswapdOrder: word("hint:atomic"),
  kswapdHighestZone: word("hint:atomic"),
  /** Rounds of kswapd in a row that freed nothing. */
  kswapdFailures: word("hint:atomic", "counter"),
  kcompactdMaxOrder: word("hint:atomic"),
  kcompactdHighestZone: word("hint:atomic"),

  lineCounters: pad(),
  stat: array(NODE_STAT_NAMES.length, "hint:atomic", "counter"),
  end: pad(),
});
/** Words from one node to the next. */
export const NODE_WORDS = wordsIn(Node);
