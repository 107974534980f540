/**
 * The node of a maple tree: 256 bytes, ranges of indices with a slot each.
 *
 *   pivot i   the last index of slot i; slot 0 begins where the node does, the last slot ends where the node ends
 *   slot i    a leaf's: an entry, or 0 for a range without one.  An inner node's: a node
 *   gap i     an inner node's: the longest range without an entry below slot i
 *
 * Linux: include/linux/maple_tree.h maple_range_64, maple_arange_64, lib/maple_tree.c.  Differs: the kind and the number of
 * slots are a word of the node, where Linux has the kind in pointers and finds the end by the pivots; no parent
 * pointers, since iteration descends anew.
 */

import { array, chooseOverlayBy, embed, float64, overlay, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { RcuHead } from "../sync/rcu-callbacks.ts";
import { INNER_SLOTS, kindOf, LEAF_SLOTS, MapleKind } from "./maple-state.ts";

/** Word index of a maple_node. */
export type NodeRef = Pointer;

/** The greatest index: what a number holds exactly. */
export const MAX_INDEX = Number.MAX_SAFE_INTEGER;

export const MapleNode = struct("maple_node", {
  /** Kind, and the last slot in use << 8.  It changes once after the node can be reached: to DEAD. */
  state: word("rcu:mmap_lock", "flags"),
  pad: word("boot"),
  body: array(62, "rcu:mmap_lock"),
});
const BODY = MapleNode.body;

export const MapleLeaf = overlay(
  MapleNode,
  { name: "leaf", tag: MapleKind.LEAF, startWord: BODY },
  {
    pivots: float64("rcu:mmap_lock", LEAF_SLOTS - 1),
    slots: array(LEAF_SLOTS, "rcu:mmap_lock", "pointer:vm_area_struct"),
  },
);

export const MapleInner = overlay(
  MapleNode,
  { name: "inner", tag: MapleKind.INNER, startWord: BODY },
  {
    pivots: float64("rcu:mmap_lock", INNER_SLOTS - 1),
    slots: array(INNER_SLOTS, "rcu:mmap_lock", "pointer:maple_node"),
    gaps: float64("lock:mmap_lock", INNER_SLOTS),
  },
);

/** A node that was replaced: readers that are in it must begin anew. */
export const MapleDead = overlay(
  MapleNode,
  { name: "dead", tag: MapleKind.DEAD, startWord: BODY },
  { rcu: embed(RcuHead, "holder") },
);

chooseOverlayBy(MapleNode, (read, at) => kindOf(read(at + MapleNode.state)));
