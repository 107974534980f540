/** A memblock of its own in fresh RAM, and its lists as plain data. */

import { Memblock } from "../../src/mm/boot/memblock.ts";
import type { RegionArray } from "../../src/mm/boot/memblock-regions.ts";
import { soloCpu } from "./solo.ts";

/** Where the memblock lies. */
export const STATE = 1024;

export function emptyMemblock(ramBytes = 1 << 20): Memblock {
  const memblock = new Memblock(soloCpu({ bytes: ramBytes }).memory, STATE);
  memblock.format();
  return memblock;
}

/** `[base, size]` of every region. */
export function regionsOf(list: RegionArray): [base: number, size: number][] {
  return Array.from({ length: list.count }, (_, i) => [list.base(i), list.size(i)]);
}

/** `[base, size, node, flags]` of every region. */
export function fullRegionsOf(list: RegionArray): number[][] {
  return Array.from({ length: list.count }, (_, i) => [
    list.base(i),
    list.size(i),
    list.node(i),
    list.flags(i),
  ]);
}
