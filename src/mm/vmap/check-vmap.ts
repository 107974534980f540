/**
 * The invariants of kernel virtual memory, at rest.
 *
 *   W1  no TLB has an entry for a page that is not mapped so, but in lazy areas and the dirty pages of blocks
 *   W2  free, busy and lazy areas and those in pools are the range, without gap or overlap
 *   W3  every tree is a sound red-black tree in order, its list is the same, and free areas know their subtree
 *   W4  each area is in the node that its address or its flags say; lazyPages is what there is
 *   W5  every present entry lies in a busy area, and names an allocated frame; a vmalloc area has all its pages mapped
 *   W6  tables are typed so, each is linked once, tablePages counts them (check-kernel-tables)
 *   W7  blocks: free + dirty + in use is all, and they are on the lists that they should be on
 */

import { MAPPED, PageWalker } from "../../hardware/page-walk.ts";
import { Bitmap } from "../../memory/bitmap.ts";
import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../../memory/units.ts";
import type { AreaTree } from "./area-tree.ts";
import { checkKernelTables } from "./check-kernel-tables.ts";
import type { Vmalloc } from "./vmalloc.ts";
import { formatAddress, VMALLOC_START } from "./vmalloc-space.ts";
import { type AreaRef, VMAP_BLOCK, VMAP_RAM, VmapArea, VmFlag, VmStruct } from "./vmap-area.ts";
import { BLOCK_PAGES, VmapBlock } from "./vmap-block.ts";
import { VmapCpu, VmapGlobals } from "./vmap-globals.ts";
import { AreaSet, POOL_SIZES, VaPool, VmapNode } from "./vmap-node.ts";
import type { VmapSpace } from "./vmap-space.ts";

const area = VmapArea;
/** More than there can be: a list that is longer runs in a circle. */
const LIST_LIMIT = 1 << 24;

type State = "free" | "busy" | "lazy" | "pool";

/** The sets of a node. */
const SETS = [
  ["busy", VmapNode.busy],
  ["lazy", VmapNode.lazy],
] as const;

/** A piece of the range. */
interface Piece {
  readonly at: AreaRef;
  readonly start: number;
  readonly end: number;
  readonly state: State;
}

/** What a check has counted. */
export interface VmapCounts {
  readonly areas: Readonly<Record<State, number>>;
  readonly tables: number;
  readonly mappedPages: number;
  readonly blocks: number;
}

/** W1 to W7. */
export function checkVmap(vmap: Vmalloc): VmapCounts {
  const { space } = vmap;
  const areas = { free: 0, busy: 0, lazy: 0, pool: 0 };
  const { tables, mapped } = checkKernelTables(vmap);
  if (!space.isReady) return { areas, tables, mappedPages: mapped.size, blocks: 0 };
  const pieces = allPieces(vmap);
  for (const piece of pieces) areas[piece.state]++;
  checkTiling(vmap, pieces);
  checkMapped(pieces, mapped);
  checkAreas(vmap, pieces, mapped);
  const blocks = checkBlocks(vmap);
  checkTlbs(vmap, pieces);
  return { areas, tables, mappedPages: mapped.size, blocks };
}

/** W3, W4; everything that there is, in order. */
function allPieces({ space }: Vmalloc): Piece[] {
  const { memory, globals } = space;
  const { freeRoot, freeList, lazyPages } = VmapGlobals;
  const found: Piece[] = [];
  const add = (at: AreaRef, state: State): void => {
    found.push({ at, start: space.areas.startOf(at), end: space.areas.endOf(at), state });
  };
  for (const at of areasOf(memory, space.gaps, globals + freeRoot, globals + freeList, "free areas"))
    add(at, "free");
  let lazy = 0;
  for (let id = 0; id < space.nodeCount; id++) {
    const node = space.nodeAt(id);
    for (const [state, set] of SETS) {
      const name = `${state} areas of node ${id}`;
      const head = node + set + AreaSet.head;
      for (const at of areasOf(memory, space.areas, node + set + AreaSet.root, head, name)) {
        checkHome(space, at, state, id);
        if (state === "lazy") lazy += space.pagesOf(at);
        add(at, state);
      }
    }
    for (const at of pooledAreas(space, id)) add(at, "pool");
  }
  const said = memory.read(globals + lazyPages);
  if (lazy !== said) bug(`W4 ${lazy} pages are lazy, vmap_lazy_nr says ${said}`);
  return found.toSorted((a, b) => a.start - b.start);
}

/** W3 of one tree and its list: the areas in order. */
function areasOf(memory: Memory, tree: AreaTree, root: Pointer, head: Pointer, name: string): AreaRef[] {
  const areas = tree.rb.check(root, `W3 ${name}`).map((node) => node - area.rb);
  const length = checkedListLength(memory, head, `W3 ${name}`, LIST_LIMIT);
  if (length !== areas.length) bug(`W3 ${name}: ${areas.length} areas in the tree, ${length} in the list`);
  let link = memory.read(head);
  for (const at of areas) {
    if (link !== at + area.links) bug(`W3 ${name}: the list is not in the order of the tree`);
    link = memory.read(link);
  }
  return areas;
}

/** W4 of a busy or lazy area that is in node `id`. */
function checkHome(space: VmapSpace, at: AreaRef, state: State, id: number): void {
  const start = space.areas.startOf(at);
  const marked = space.decodeNode(space.flagsOf(at));
  const home = state === "lazy" && marked >= 0 ? marked : space.nodeIdOf(start);
  if (home !== id) bug(`W4 ${state} area ${formatAddress(start)} is in node ${id}, it belongs to ${home}`);
}

/** W3, W4 of the pools of node `id`; their areas. */
function pooledAreas(space: VmapSpace, id: number): AreaRef[] {
  const { memory } = space;
  const found: AreaRef[] = [];
  for (let index = 0; index < POOL_SIZES; index++) {
    const pool = space.poolAt(space.nodeAt(id), index);
    const head = pool + VaPool.head;
    const name = `pool ${index} of node ${id}`;
    const length = checkedListLength(memory, head, `W3 ${name}`, LIST_LIMIT);
    const said = memory.read(pool + VaPool.len);
    if (length !== said) bug(`W3 ${name} has ${length} areas, it says ${said}`);
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const at = link - area.links;
      if (space.pagesOf(at) !== index + 1) bug(`W4 ${name}: an area of ${space.pagesOf(at)} pages`);
      found.push(at);
    }
  }
  return found;
}

/** W2 */
function checkTiling({ space }: Vmalloc, pieces: readonly Piece[]): void {
  let at = VMALLOC_START;
  for (const { start, end, state } of pieces) {
    if (start !== at)
      bug(`W2 the ${state} area ${formatAddress(start)} begins where ${formatAddress(at)} was expected`);
    if (end <= start) bug(`W2 the ${state} area ${formatAddress(start)} ends at ${formatAddress(end)}`);
    at = end;
  }
  if (at !== space.end)
    bug(`W2 the areas end at ${formatAddress(at)}, the range at ${formatAddress(space.end)}`);
}

/** The piece around an address. */
function pieceAt(pieces: readonly Piece[], address: number): Piece | null {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle].start <= address) low = middle + 1;
    else high = middle;
  }
  const found = low === 0 ? null : pieces[low - 1];
  return found !== null && address < found.end ? found : null;
}

/** W5's first half; the frames by address. */
function checkMapped(pieces: readonly Piece[], mapped: ReadonlyMap<number, Pfn>): void {
  for (const address of mapped.keys()) {
    const piece = pieceAt(pieces, address);
    if (piece?.state !== "busy")
      bug(`W5 ${formatAddress(address)} is mapped, its area is ${piece?.state ?? "none"}`);
  }
}

/** W5's second half. */
function checkAreas(vmap: Vmalloc, pieces: readonly Piece[], mapped: ReadonlyMap<number, Pfn>): void {
  const { memory } = vmap.space;
  let pages = 0;
  for (const { at, start, end, state } of pieces) {
    if (state !== "busy" || (vmap.space.flagsOf(at) & VMAP_RAM) !== 0) continue;
    const vm = memory.read(at + area.vm);
    const name = `W5 area ${formatAddress(start)}`;
    if (memory.readFloat64(vm + VmStruct.addr) !== start) bug(`${name}: its vm_struct has another address`);
    if (memory.readFloat64(vm + VmStruct.size) !== end - start)
      bug(`${name}: its vm_struct has another size`);
    const flags = memory.read(vm + VmStruct.flags);
    const count = memory.read(vm + VmStruct.nrPages);
    if ((flags & VmFlag.ALLOC) !== 0) pages += count;
    for (let i = 0; i < count; i++) {
      const pfn = pageOf(vmap, vm, i);
      if (mapped.get(start + i * PAGE_BYTES) !== pfn)
        bug(`${name}: page ${i} is frame ${pfn}, mapped is ${mapped.get(start + i * PAGE_BYTES) ?? "none"}`);
    }
    if ((flags & VmFlag.NO_GUARD) === 0 && mapped.has(end - PAGE_BYTES))
      bug(`${name}: its guard page is mapped`);
  }
  const said = memory.read(vmap.space.globals + VmapGlobals.vmallocPages);
  if (said !== pages) bug(`W5 ${pages} pages are in vmalloc areas, nr_vmalloc_pages says ${said}`);
}

/** Frame `index` of an area, without a TLB: the check leaves none of its own. */
function pageOf(vmap: Vmalloc, vm: Pointer, index: number): Pfn {
  const { memory } = vmap.space;
  const pages = memory.readFloat64(vm + VmStruct.pages);
  const { frames } = vmap.parts.pages;
  if (pages >= 0) return frames.pfnOf(memory.read(pages + index));
  const walker = new PageWalker(memory, vmap.tables.levels);
  const address = pages + index * 4;
  if (walker.look(vmap.tables.rootPfn(), address) !== MAPPED)
    bug(`W5 the page array at ${formatAddress(pages)} is not mapped`);
  return frames.pfnOf(memory.read(frameOf(walker.pfn) + ((address >> 2) & (FRAME_WORDS - 1))));
}

/** W7; how many blocks there are. */
function checkBlocks(vmap: Vmalloc): number {
  const { memory } = vmap.space;
  const cpus = Array.from({ length: vmap.parts.possibleCpus }, (_, cpu) => cpu);
  const listed = (cpu: number, list: number, links: number): Pointer[] => {
    const head = vmap.parts.slots.cpus.of(cpu) + list;
    checkedListLength(memory, head, `W7 blocks of cpu ${cpu}`, LIST_LIMIT);
    const found: Pointer[] = [];
    for (let link = memory.read(head); link !== head; link = memory.read(link)) found.push(link - links);
    return found;
  };
  const withFree = new Map<Pointer, number>();
  for (const cpu of cpus)
    for (const at of listed(cpu, VmapCpu.freeBlocks, VmapBlock.freeLinks)) withFree.set(at, cpu);
  const all = cpus.flatMap((cpu) => listed(cpu, VmapCpu.allBlocks, VmapBlock.allLinks));
  for (const at of all) {
    checkBlock(vmap, at, withFree.get(at));
    withFree.delete(at);
  }
  if (withFree.size > 0) bug(`W7 ${withFree.size} blocks with free pages are not among all blocks`);
  return all.length;
}

/** One block, and the CPU whose list of blocks with free pages it is on. */
function checkBlock({ space }: Vmalloc, at: Pointer, listedBy: number | undefined): void {
  const { memory } = space;
  const cpu = memory.read(at + VmapBlock.cpu);
  const name = `W7 block ${formatAddress(memory.readFloat64(at + VmapBlock.start))} of cpu ${cpu}`;
  const free = memory.read(at + VmapBlock.free);
  const dirty = memory.read(at + VmapBlock.dirty);
  const used = new Bitmap(memory, at + VmapBlock.used, BLOCK_PAGES);
  let inUse = 0;
  for (let bit = used.nextSet(0); bit < BLOCK_PAGES; bit = used.nextSet(bit + 1)) inUse++;
  if (free + dirty + inUse !== BLOCK_PAGES) bug(`${name}: ${free} free, ${dirty} dirty, ${inUse} in use`);
  if (listedBy !== (free > 0 ? cpu : undefined))
    bug(`${name}: it has ${free} free pages, its list is ${listedBy ?? "none"}`);
  const vb = memory.read(at + VmapBlock.area);
  if (
    (space.flagsOf(vb) & VMAP_BLOCK) === 0 ||
    space.areas.startOf(vb) !== memory.readFloat64(at + VmapBlock.start)
  )
    bug(`${name}: its area is another`);
}

/** W1 */
function checkTlbs(vmap: Vmalloc, pieces: readonly Piece[]): void {
  const { memory } = vmap.space;
  const walker = new PageWalker(memory, vmap.tables.levels);
  for (let cpu = 0; cpu < vmap.parts.cpu.cpus; cpu++) {
    for (const entry of vmap.parts.cpu.tlb.of(cpu).entries()) {
      const page = entry.pageHigh * 2 ** 31 + entry.pageLow;
      const address = page * PAGE_BYTES - 2 ** 57;
      const piece = pieceAt(pieces, address);
      if (piece === null || piece.state === "lazy") continue;
      const isSame = walker.look(vmap.tables.rootPfn(), address) === MAPPED && walker.pfn === entry.pfn;
      if (isSame || isDirty(vmap, piece, address)) continue;
      bug(
        `W1 cpu ${cpu}: its TLB maps ${formatAddress(address)} to frame ${entry.pfn}; the tables do not, ` +
          `and the area there is ${piece.state}`,
      );
    }
  }
}

/** Whether a page of a block was given back since the last flush. */
function isDirty(vmap: Vmalloc, { at, start }: Piece, address: number): boolean {
  const { memory } = vmap.space;
  if ((vmap.space.flagsOf(at) & VMAP_BLOCK) === 0) return false;
  const block = memory.read(at + area.vm);
  const page = (address - start) / PAGE_BYTES;
  return page >= memory.read(block + VmapBlock.dirtyMin) && page < memory.read(block + VmapBlock.dirtyMax);
}
