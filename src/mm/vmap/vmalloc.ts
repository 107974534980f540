/**
 * vmalloc and its kin, seen from one CPU: memory that is contiguous in kernel virtual addresses alone.
 *
 * An address is a negative number (vmalloc-space); what lies there is reached through `KernelVirtual`.  0 is "none".
 *
 * Linux: mm/vmalloc.c __vmalloc_node_range, vfree, vmap, vunmap, vm_map_ram, vm_unmap_ram; mm/util.c kvmalloc_node.
 * Differs: no huge mappings, no vfree from an interrupt; the array of an area's pages has four bytes a page.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { ImageLayout } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pfn, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import type { Kmalloc } from "../slab/kmalloc.ts";
import { NO_NODE } from "../slab/slab-backing.ts";
import { FreeAreas } from "./free-areas.ts";
import { KernelFlush } from "./kernel-flush.ts";
import { KernelTables } from "./kernel-tables.ts";
import { KernelVirtual } from "./kernel-virtual.ts";
import { LazyPurge } from "./lazy-purge.ts";
import { PageArray } from "./page-array.ts";
import { PageAttributes } from "./page-attributes.ts";
import { formatAddress } from "./vmalloc-space.ts";
import { CALLER_WORDS, VMAP_RAM, VmapArea, VmFlag, VmStruct } from "./vmap-area.ts";
import { GFP_RECLAIM_MASK, VmapAreas } from "./vmap-areas.ts";
import { VmapBlock } from "./vmap-block.ts";
import { VmapBlocks } from "./vmap-blocks.ts";
import { VmapCpu, VmapGlobals } from "./vmap-globals.ts";
import type { VmapParts, VmapSlots } from "./vmap-parts.ts";
import { formatGlobals, setUpVmap } from "./vmap-setup.ts";
import { VmapSpace } from "./vmap-space.ts";

const area = VmapArea;
const vmField = VmStruct;
const globalField = VmapGlobals;
const VM_BYTES = wordsIn(VmStruct) * WORD_BYTES;
/** Frames that are asked for at a time. */
const BULK_PAGES = 100;
/** Larger pieces of vm_map_ram have an area of their own.  Linux: VMAP_MAX_ALLOC. */
const BLOCK_PIECE_PAGES = 64;
const INT_MAX = 2 ** 31 - 1;
const ZERO = GfpFlag.ZERO;

/** What a caller of `allocate` may say beside the size. */
export interface VmallocOptions {
  /** A power of two; default a page. */
  readonly align?: number;
  /** Default GFP_KERNEL. */
  readonly gfp?: number;
  /** Node of the pages; default near this CPU. */
  readonly node?: number;
  /** Who asks, for /proc/vmallocinfo: up to 24 characters. */
  readonly caller?: string;
}

export class Vmalloc {
  declare readonly space: VmapSpace;
  declare readonly tables: KernelTables;
  declare readonly virtual: KernelVirtual;
  declare readonly areas: VmapAreas;
  declare readonly blocks: VmapBlocks;
  declare readonly purge: LazyPurge;
  declare readonly free: FreeAreas;
  declare readonly flush: KernelFlush;
  declare readonly frames: PageArray;
  /** What may be done at addresses of areas: set_memory_ro and its kin. */
  declare readonly attributes: PageAttributes;
  declare readonly parts: VmapParts;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;
  declare private readonly heap: Kmalloc;
  declare private readonly globals: Pointer;

  constructor(parts: VmapParts) {
    const { cpu, slots, locks, pages, functions, heap, levels } = parts;
    const { memory } = cpu;
    const own = slots.cpus.of(cpu.id);
    const globals = slots.globals.address;
    this.parts = parts;
    this.cpu = cpu;
    this.memory = memory;
    this.pages = pages;
    this.heap = heap;
    this.globals = globals;
    this.space = new VmapSpace(memory, globals, parts.online);
    this.tables = new KernelTables({
      memory,
      locks,
      pages,
      globals,
      levels,
      ranges: parts.topology.memory,
    });
    this.virtual = new KernelVirtual(cpu, this.tables);
    this.flush = new KernelFlush({ ...parts, own, vmstat: pages.vmstat });
    this.free = new FreeAreas({ ...parts, space: this.space, own });
    this.purge = new LazyPurge({ ...parts, space: this.space, free: this.free, flush: this.flush });
    this.areas = new VmapAreas({ ...parts, space: this.space, free: this.free, purge: this.purge });
    this.frames = new PageArray(pages.frames, this.virtual);
    this.attributes = new PageAttributes(memory, this.tables, this.flush, () => this.vmUnmapAliases());
    this.blocks = new VmapBlocks({
      ...parts,
      memory,
      cpuId: cpu.id,
      cpus: parts.possibleCpus,
      areas: this.areas,
      tables: this.tables,
      purge: this.purge,
      flush: this.flush,
      freeFunction: functions.register("free_vmap_block_rcu", (_cpu, head) =>
        heap.kfree(head - VmapBlock.rcu),
      ),
      ownOf: (id) => slots.cpus.of(id),
    });
  }

  static declare(layout: ImageLayout): VmapSlots {
    return {
      globals: layout.place("vmap_globals", VmapGlobals),
      cpus: layout.perCpu("vmap_cpu", VmapCpu),
    };
  }

  /** First state, on the boot CPU. */
  format(): void {
    formatGlobals(this.parts);
    for (let cpu = 0; cpu < this.parts.possibleCpus; cpu++) this.blocks.format(cpu);
  }

  /** Makes what the first use would make; false without memory.  @may-sleep */
  start(): boolean {
    const { space } = this;
    if (space.isReady) return true;
    let done = true;
    this.purge.locked(() => {
      done = space.isReady || setUpVmap(this.parts, space, this.tables);
    });
    return done;
  }

  // ---- vmalloc ----

  /** `bytes` of memory, rounded up to pages, or 0.  @may-sleep */
  vmalloc(bytes: number): number {
    return this.allocate(bytes, { caller: "vmalloc" });
  }

  /** The same, zeroed. */
  vzalloc(bytes: number): number {
    return this.allocate(bytes, { gfp: Gfp.KERNEL | ZERO, caller: "vzalloc" });
  }

  /** Pages of `node`, or of nodes near it. */
  vmallocNode(bytes: number, node: number): number {
    return this.allocate(bytes, { node, caller: "vmalloc_node" });
  }

  /** Linux: __vmalloc_node_range. */
  allocate(bytes: number, options: VmallocOptions = {}): number {
    const { gfp = Gfp.KERNEL, node = NO_NODE } = options;
    this.cpu.mightSleep("vmalloc");
    if (!(bytes > 0)) return this.fail(gfp, `size ${bytes}, there must be at least one byte`);
    const count = Math.ceil(bytes / PAGE_BYTES);
    if (count > this.totalPages) return this.fail(gfp, `size ${bytes}, exceeds total pages`);
    const vm = this.newArea(count * PAGE_BYTES, VmFlag.ALLOC | VmFlag.UNINITIALIZED, options);
    if (vm === 0) return this.fail(gfp, `size ${bytes}, vm_struct allocation failed`);
    const address = this.memory.readFloat64(vm + vmField.addr);
    if (!this.giveArray(vm, count, gfp, node)) {
      this.freeArea(address);
      return this.fail(gfp, `size ${count * PAGE_BYTES}, page order 0, failed to allocate page array`);
    }
    const got = this.givePages(vm, count, gfp, node);
    const mapped = got === count && this.tables.map(address, count, (i) => this.frames.get(vm, i)) === 0;
    if (mapped) {
      this.memory.write(vm + vmField.flags, VmFlag.ALLOC);
      return address;
    }
    this.vfree(address);
    return this.fail(
      gfp,
      `size ${count * PAGE_BYTES}, page order 0, failed to allocate ${got === count ? "tables" : "pages"}`,
    );
  }

  /** Frees what vmalloc and its kin have given; 0 is allowed.  @may-sleep */
  vfree(address: number): void {
    this.cpu.mightSleep("vfree");
    if (address === 0) return;
    const { memory } = this;
    const vm = this.removeArea(address, "vfree");
    const flags = memory.read(vm + vmField.flags);
    const count = memory.read(vm + vmField.nrPages);
    const isOwn = (flags & VmFlag.ALLOC) !== 0;
    for (let i = 0; i < count; i++) {
      const pfn = this.frames.get(vm, i);
      if (isOwn) this.pages.setPageType(pfn, PageType.ALLOCATED);
      this.pages.freePage(pfn);
    }
    if (isOwn) memory.add(this.globals + globalField.vmallocPages, -count);
    this.freeArray(vm);
    this.heap.kfree(vm);
  }

  // ---- frames of one's own ----

  /** Maps frames at addresses in a row; 0 without memory.  With MAP_PUT_PAGES vfree frees them.  @may-sleep */
  vmap(pfns: readonly Pfn[], flags: number = VmFlag.MAP, caller = "vmap"): number {
    const count = pfns.length;
    if (count === 0 || count > this.totalPages) return 0;
    const vm = this.newArea(count * PAGE_BYTES, flags | VmFlag.MAP, { caller });
    if (vm === 0) return 0;
    const address = this.memory.readFloat64(vm + vmField.addr);
    const puts = (flags & VmFlag.MAP_PUT_PAGES) !== 0;
    if (puts && !this.giveArray(vm, count, Gfp.KERNEL, NO_NODE)) {
      this.freeArea(address);
      return 0;
    }
    if (this.tables.map(address, count, (i) => pfns[i]) !== 0) {
      this.freeArray(vm);
      this.freeArea(address);
      return 0;
    }
    if (puts) for (let i = 0; i < count; i++) this.frames.set(vm, i, pfns[i]);
    if (puts) this.memory.write(vm + vmField.nrPages, count);
    return address;
  }

  /** Unmaps what `vmap` has mapped; the frames stay their owner's.  @may-sleep */
  vunmap(address: number): void {
    this.cpu.mightSleep("vunmap");
    if (address !== 0) this.heap.kfree(this.removeArea(address, "vunmap"));
  }

  /** Maps frames for a short time: up to 64 of them in a block of this CPU's.  @may-sleep */
  vmMapRam(pfns: readonly Pfn[]): number {
    const count = pfns.length;
    if (count === 0 || !this.start()) return 0;
    let address: number;
    if (count <= BLOCK_PIECE_PAGES) address = this.blocks.alloc(orderOf(count));
    else {
      const at = this.areas.alloc(count * PAGE_BYTES, PAGE_BYTES, Gfp.KERNEL, VMAP_RAM, 0);
      address = at === 0 ? 0 : this.areas.startOf(at);
    }
    if (address === 0 || this.tables.map(address, count, (i) => pfns[i]) === 0) return address;
    this.vmUnmapRam(address, count);
    return 0;
  }

  /** Unmaps what `vmMapRam` has mapped: the same address and count. */
  vmUnmapRam(address: number, count: number): void {
    this.cpu.mightSleep("vm_unmap_ram");
    if (count <= BLOCK_PIECE_PAGES) {
      this.blocks.free(address, orderOf(count));
      return;
    }
    const at = this.areas.findUnlink(address);
    if (at === 0) bug(`vm_unmap_ram: nothing is mapped at ${formatAddress(address)}`);
    this.tables.unmap(this.areas.startOf(at), this.areas.endOf(at));
    this.areas.freeNoFlush(at);
  }

  /** No TLB knows what was unmapped before.  Linux: vm_unmap_aliases.  @may-sleep */
  vmUnmapAliases(): void {
    if (this.space.isReady) this.blocks.unmapAliases();
  }

  // ---- either kind of memory ----

  /** A pointer from kmalloc, or, below 0, an address from vmalloc; 0 is none.  @may-sleep */
  kvmalloc(bytes: number, gfp: number = Gfp.KERNEL): number {
    const isLarge = bytes > PAGE_BYTES;
    let first = gfp;
    if (isLarge) {
      first = (gfp | GfpFlag.NOWARN) & ~GfpFlag.NOFAIL;
      if ((gfp & GfpFlag.RETRY_MAYFAIL) === 0) first |= GfpFlag.NORETRY;
    }
    const object = this.heap.kmalloc(bytes, first);
    if (object !== 0 || !isLarge || (gfp & GfpFlag.DIRECT_RECLAIM) === 0) return object;
    return bytes > INT_MAX ? 0 : this.allocate(bytes, { gfp, caller: "kvmalloc" });
  }

  kvfree(memory: number): void {
    if (memory < 0) this.vfree(memory);
    else this.heap.kfree(memory);
  }

  // ---- areas with a vm_struct ----

  /** Linux: __get_vm_area_node. */
  private newArea(bytes: number, flags: number, options: VmallocOptions): Pointer {
    const { memory, heap } = this;
    const { gfp = Gfp.KERNEL, align = PAGE_BYTES, caller = "vmalloc" } = options;
    if (!this.start()) return 0;
    const vm = heap.kzalloc(VM_BYTES, gfp & GFP_RECLAIM_MASK);
    if (vm === 0) return 0;
    const size = (flags & VmFlag.NO_GUARD) === 0 ? bytes + PAGE_BYTES : bytes;
    memory.write(vm + vmField.flags, flags);
    memory.writeFloat64(vm + vmField.size, size);
    for (let i = 0; i < Math.min(caller.length, CALLER_WORDS * WORD_BYTES); i++)
      memory.writeByte((vm + vmField.caller) * WORD_BYTES + i, caller.charCodeAt(i));
    const at = this.areas.alloc(size, Math.max(align, PAGE_BYTES), gfp, 0, vm);
    if (at === 0) {
      heap.kfree(vm);
      return 0;
    }
    memory.writeFloat64(vm + vmField.addr, this.areas.startOf(at));
    return vm;
  }

  /** The area is unmapped and lazy; its vm_struct is the caller's to free.  Linux: remove_vm_area. */
  private removeArea(address: number, where: string): Pointer {
    const at = this.areas.findUnlink(address);
    const vm = at === 0 ? 0 : this.memory.read(at + area.vm);
    const flags = at === 0 ? 0 : this.memory.read(at + area.flags);
    if (vm === 0 || (flags & VMAP_RAM) !== 0 || this.areas.startOf(at) !== address)
      bug(`Trying to ${where}() nonexistent vm area (${formatAddress(address)})`);
    this.tables.unmap(address, this.areas.endOf(at));
    this.areas.freeNoFlush(at);
    return vm;
  }

  /** Linux: free_vm_area. */
  private freeArea(address: number): void {
    this.heap.kfree(this.removeArea(address, "free_vm_area"));
  }

  /** Room for the frames' struct pages. */
  private giveArray(vm: Pointer, count: number, gfp: number, node: number): boolean {
    const bytes = count * WORD_BYTES;
    const nested = (gfp & GFP_RECLAIM_MASK) | ZERO;
    const pages =
      bytes > PAGE_BYTES
        ? this.allocate(bytes, { gfp: nested, node, caller: "vmalloc" })
        : this.heap.kmallocNode(bytes, nested, node);
    this.memory.writeFloat64(vm + vmField.pages, pages);
    return pages !== 0;
  }

  private freeArray(vm: Pointer): void {
    const pages = this.memory.readFloat64(vm + vmField.pages);
    if (pages < 0) this.vfree(pages);
    else this.heap.kfree(pages);
  }

  /** As many frames as there are, up to `count`; how many.  Linux: vm_area_alloc_pages. */
  private givePages(vm: Pointer, count: number, gfp: number, node: number): number {
    const { memory, pages } = this;
    const flags = gfp | GfpFlag.HIGHMEM | GfpFlag.NOWARN;
    const local = node === NO_NODE;
    let done = 0;
    let inBulk = true;
    while (done < count) {
      const got: Pfn[] = [];
      const wanted = Math.min(BULK_PAGES, count - done);
      if (!inBulk) got.push(local ? pages.allocPage(flags) : pages.allocPagesNode(node, flags, 0));
      else if (local) pages.allocPagesBulk(flags, wanted, got);
      else pages.allocPagesBulk(flags, wanted, got, node);
      if (!inBulk && got[0] === 0) break;
      // What bulk does not give may still be had one by one, where there is reclaim.
      inBulk &&= got.length === wanted;
      for (const pfn of got) {
        pages.setPageType(pfn, PageType.VMALLOC);
        this.frames.set(vm, done++, pfn);
      }
    }
    memory.write(vm + vmField.nrPages, done);
    memory.add(this.globals + globalField.vmallocPages, done);
    return done;
  }

  private get totalPages(): number {
    return this.memory.read(this.pages.frames.globals + PageGlobals.totalRamPages);
  }

  private fail(gfp: number, what: string): 0 {
    if ((gfp & GfpFlag.NOWARN) === 0) this.parts.report(`vmalloc error: ${what}`);
    return 0;
  }
}

/** Linux: get_order, of pages. */
const orderOf = (pages: number): number => 32 - Math.clz32(pages - 1);
