/**
 * The vmalloc range as one CPU sees it: where its structures are, and which node an address belongs to.
 *
 * Linux: mm/vmalloc.c addr_to_node_id, encode_vn_id, lazy_max_pages.
 */

import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { alignUp, LINE_WORDS, PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { OnlineCpus } from "../../sync/online.ts";
import type { CacheRef } from "../slab/kmem-cache.ts";
import { AreaTree } from "./area-tree.ts";
import { VMALLOC_START } from "./vmalloc-space.ts";
import { type AreaRef, VmapArea } from "./vmap-area.ts";
import { VmapGlobals } from "./vmap-globals.ts";
import { POOL_SIZES, VaPool, VmapNode } from "./vmap-node.ts";

const globalField = VmapGlobals;
const nodeField = VmapNode;
const POOL_WORDS = wordsIn(VaPool);
/** Words from one node to the next. */
export const NODE_STRIDE = alignUp(wordsIn(VmapNode), LINE_WORDS);
/** Pages for each bit of the number of CPUs: 32 MiB.  Linux: lazy_max_pages. */
const LAZY_UNIT_PAGES = (32 << 20) / PAGE_BYTES;
const ID_SHIFT = 8;

export class VmapSpace {
  declare readonly memory: Memory;
  declare readonly globals: Pointer;
  /** Busy and lazy areas. */
  declare readonly areas: AreaTree;
  /** Free areas. */
  declare readonly gaps: AreaTree;
  declare private readonly online: OnlineCpus;

  constructor(memory: Memory, globals: Pointer, online: OnlineCpus) {
    this.memory = memory;
    this.globals = globals;
    this.online = online;
    this.areas = new AreaTree(memory, false);
    this.gaps = new AreaTree(memory, true);
  }

  get isReady(): boolean {
    return this.memory.load(this.globals + globalField.ready) !== 0;
  }
  /** First address past the range. */
  get end(): number {
    return this.memory.readFloat64(this.globals + globalField.end);
  }
  get areaCache(): CacheRef {
    return this.memory.read(this.globals + globalField.areaCache);
  }
  get nodeCount(): number {
    return this.memory.read(this.globals + globalField.nodeCount);
  }

  contains(address: number): boolean {
    return address >= VMALLOC_START && address < this.end;
  }

  /** Linux: id_to_node. */
  nodeAt(id: number): Pointer {
    return this.memory.read(this.globals + globalField.nodes) + id * NODE_STRIDE;
  }

  /** Linux: addr_to_node_id. */
  nodeIdOf(address: number): number {
    const { memory, globals } = this;
    const zone = (address - VMALLOC_START) / memory.read(globals + globalField.zoneBytes);
    return Math.floor(zone) % memory.read(globals + globalField.nodeCount);
  }

  /** The flag bits that say whose pool an area goes back to.  Linux: encode_vn_id. */
  encodeNode(id: number): number {
    return (id + 1) << ID_SHIFT;
  }

  /** The node in an area's flags, or -1.  Linux: decode_vn_id. */
  decodeNode(flags: number): number {
    return (flags >> ID_SHIFT) - 1;
  }

  /** The pool of `node` for areas of so many bytes, or 0 when they are too large.  Linux: size_to_va_pool. */
  poolOf(node: Pointer, bytes: number): Pointer {
    const index = bytes / PAGE_BYTES - 1;
    return index < POOL_SIZES ? node + nodeField.pools + index * POOL_WORDS : 0;
  }

  /** The pool of areas of `index` + 1 pages. */
  poolAt(node: Pointer, index: number): Pointer {
    return node + nodeField.pools + index * POOL_WORDS;
  }

  pagesOf(area: AreaRef): number {
    return this.areas.sizeOf(area) / PAGE_BYTES;
  }

  flagsOf(area: AreaRef): number {
    return this.memory.read(area + VmapArea.flags);
  }

  /** More lazy pages than this are purged.  Linux: lazy_max_pages. */
  lazyMaxPages(): number {
    const set = this.memory.read(this.globals + globalField.lazyLimit);
    if (set !== 0) return set;
    return (32 - Math.clz32(Math.max(1, this.online.count))) * LAZY_UNIT_PAGES;
  }
}
