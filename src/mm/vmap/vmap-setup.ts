/**
 * The beginning of kernel virtual memory, at its first use: a machine whose program uses none has all its pages.
 *
 * The range is as large as the tables that are made for it in advance: Linux makes all 64, which is 256 KiB; here at most
 * one page in 128 of the machine's goes into them, and a small machine has a smaller range.
 *
 * Linux: mm/vmalloc.c vmalloc_init, vmap_init_nodes, vmap_init_free_space.
 */

import { listInit } from "../../memory/list.ts";
import { wordsIn } from "../../memory/struct.ts";
import { FRAME_WORDS, PAGE_BYTES, type Pointer, pfnOf, WORD_BYTES } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import type { KernelTables } from "./kernel-tables.ts";
import { VMALLOC_START, vmallocBytes } from "./vmalloc-space.ts";
import { VmapArea } from "./vmap-area.ts";
import { VmapGlobals } from "./vmap-globals.ts";
import { AreaSet, POOL_SIZES, VaPool, VmapNode } from "./vmap-node.ts";
import type { VmapParts } from "./vmap-parts.ts";
import { NODE_STRIDE, type VmapSpace } from "./vmap-space.ts";

const globalField = VmapGlobals;
/** Linux: vmap_init_nodes. */
const MAX_VMAP_NODES = 128;
/** Pages of a zone of addresses that belongs to one node. */
const ZONE_PAGES = 16;

/** First state of what the kernel image holds, on the boot CPU. */
export function formatGlobals({ locks, mutexes, slots, cpu: { memory } }: VmapParts): void {
  const globals = slots.globals.address;
  locks.format(globals + globalField.pageTableLock, LockClass.PAGE_TABLE);
  locks.format(globals + globalField.freeLock, LockClass.FREE_VMAP_AREA);
  mutexes.format(globals + globalField.purgeLock, LockClass.VMAP_PURGE);
  listInit(memory, globals + globalField.freeList);
}

/** Makes the rest; false, and nothing is left, when there is no memory.  @holds vmap_purge_lock */
export function setUpVmap(parts: VmapParts, space: VmapSpace, tables: KernelTables): boolean {
  const { slabs, heap, pages } = parts;
  const { memory, globals } = space;
  if (!heap.start()) return false;
  const cache = slabs.create({ name: "vmap_area", objectBytes: wordsIn(VmapArea) * WORD_BYTES });
  if (cache === 0) return false;
  const count = Math.min(parts.possibleCpus, MAX_VMAP_NODES);
  const order = Math.max(0, Math.ceil(Math.log2((count * NODE_STRIDE) / FRAME_WORDS)));
  const nodes = pages.getFreePages(Gfp.KERNEL | GfpFlag.ZERO | GfpFlag.NOWARN, order);
  const whole = slabs.alloc(cache, Gfp.KERNEL);
  const total = memory.read(pages.frames.globals + PageGlobals.totalRamPages);
  if (nodes === 0 || whole === 0 || !tables.start()) {
    if (nodes !== 0) pages.freePages(pfnOf(nodes), order);
    if (whole !== 0) slabs.free(cache, whole);
    slabs.destroy(cache);
    return false;
  }
  memory.write(globals + globalField.areaCache, cache);
  memory.write(globals + globalField.nodes, nodes);
  memory.write(globals + globalField.nodeCount, count);
  memory.write(globals + globalField.zoneBytes, (count > 1 ? ZONE_PAGES : 1) * PAGE_BYTES);
  memory.writeFloat64(globals + globalField.end, VMALLOC_START + vmallocBytes(total));
  for (let id = 0; id < count; id++) formatNode(parts, space, space.nodeAt(id));
  memory.writeFloat64(whole + VmapArea.start, VMALLOC_START);
  memory.writeFloat64(whole + VmapArea.end, space.end);
  space.gaps.insert(globals + globalField.freeRoot, globals + globalField.freeList, whole);
  memory.store(globals + globalField.ready, 1);
  return true;
}

function formatNode({ locks }: VmapParts, space: VmapSpace, node: Pointer): void {
  const { memory } = space;
  locks.format(node + VmapNode.busy + AreaSet.lock, LockClass.VMAP_AREA);
  listInit(memory, node + VmapNode.busy + AreaSet.head);
  locks.format(node + VmapNode.lazy + AreaSet.lock, LockClass.VMAP_LAZY);
  listInit(memory, node + VmapNode.lazy + AreaSet.head);
  locks.format(node + VmapNode.poolLock, LockClass.VMAP_POOL);
  listInit(memory, node + VmapNode.purgeList);
  for (let index = 0; index < POOL_SIZES; index++) listInit(memory, space.poolAt(node, index) + VaPool.head);
}
