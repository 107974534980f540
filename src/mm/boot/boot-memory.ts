/**
 * Memory's part of booting, in order: from the firmware's map to a page allocator that owns every free frame.
 *
 * The boot CPU alone runs `bootMemory`; when the boot record is there, every other CPU runs `attachMemory`.  RAM must
 * be zero before, as at power-on, and `planMemory(topology).ramBytes` long.
 *
 * Linux: init/main.c start_kernel; arch/x86/kernel/setup.c; mm/mm_init.c mm_core_init.
 */

import { bug, UsageError } from "../../memory/bug.ts";
import type { ImageLayout } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import {
  alignUp,
  frameOf,
  PAGE_BYTES,
  type Pointer,
  physOf,
  pointerOf,
  WORD_BYTES,
} from "../../memory/units.ts";
import { MIGRATE_TYPES, PAGEBLOCK_PAGES } from "../pages/migrate-types.ts";
import { Pageblock, PageGlobals } from "../pages/page-globals.ts";
import { ZONE_NAMES } from "../pages/zone-index.ts";
import {
  BOOT_INFO,
  BOOT_MAGIC,
  BootInfo,
  type BootRecord,
  readBootInfo,
  writeBootInfo,
} from "./boot-info.ts";
import { logFirmwareMap, logNodes, logZones, memoryLine } from "./boot-lines.ts";
import { BootLog } from "./boot-log.ts";
import { formatGlobals, formatNode, formatPageLists, formatZones } from "./format.ts";
import { handOver, type ReleaseBlock } from "./hand-over.ts";
import { initMemMap, PAGE_STRUCT_BYTES } from "./mem-map.ts";
import { Memblock } from "./memblock.ts";
import { allocTryNode, allocTryNodeRaw, physAllocRange } from "./memblock-alloc.ts";
import type { MmImage } from "./mm-image.ts";
import { describePerCpuChunk, type PerCpuChunk, planPerCpuChunk } from "./percpu-chunk.ts";
import { placeUnits, type UnitPlaces } from "./percpu-place.ts";
import { setupLowmemReserves, setupMinFree, setupWatermarks } from "./reserves.ts";
import { nodeOrders, writeZonelists } from "./zonelists.ts";

export interface BootOptions {
  /** First line of the log. */
  readonly banner: string;
  /** vm.min_free_kbytes; 0: from the formula. */
  readonly minFreeKbytes?: number;
  /** Batch and `high` of every page list, in pages; 0: by the formulas. */
  readonly pcpBatch?: number;
  readonly pcpHigh?: number;
  /** Transparent huge pages raise min_free_kbytes. */
  readonly hugePages?: boolean;
  /** Sizes of the per-CPU areas beside the static one; the defaults are Linux's. */
  readonly perCpuReservedBytes?: number;
  readonly perCpuDynamicBytes?: number;
  /** Bytes of each CPU's kernel stacks together. */
  readonly stackBytes?: number;
}

export interface BootParts {
  readonly memory: Memory;
  readonly image: ImageLayout;
  readonly mm: MmImage;
  /** Attaches the buddy allocator to the formatted zones. */
  readonly attachBuddy: () => ReleaseBlock;
  readonly options: BootOptions;
}

export interface BootResult {
  readonly record: BootRecord;
  readonly log: BootLog;
  /** By CPU: where its kernel stacks are. */
  readonly stacks: readonly Pointer[];
}

/** Simulated time to write one page structure. */
const PAGE_STRUCT_NS = 10;

/** Boots memory on the boot CPU. */
export function bootMemory(parts: BootParts): BootResult {
  const { memory, mm, options } = parts;
  const boot = new Boot(parts);
  boot.log.print(options.banner);
  boot.learnMemory();
  boot.reserveImage();
  logZones(boot.log, mm.plan);
  boot.placeMemMap();
  boot.placePerCpu();
  const stacks = boot.placeStacks(options.stackBytes ?? 0);
  boot.bindImage();
  boot.formatAll();
  boot.fillMemMap();
  boot.buildZonelists();
  boot.handOver();
  setupMinFree(memory, mm, options.minFreeKbytes ?? 0, false);
  memory.write(mm.globals.address + PageGlobals.pcpBatch, options.pcpBatch ?? 0);
  memory.write(mm.globals.address + PageGlobals.pcpHigh, options.pcpHigh ?? 0);
  setupWatermarks(memory, mm);
  setupLowmemReserves(memory, mm);
  boot.raiseForHugePages();
  return { record: boot.writeRecord(), log: boot.log, stacks };
}

/** The state that the steps of one boot share. */
class Boot {
  readonly log = new BootLog();
  private readonly parts: BootParts;
  private readonly memblock: Memblock;
  private readonly chunk: PerCpuChunk;
  private units: UnitPlaces = { start: 0, stride: 0, isLocal: false };
  private memMap: Pointer = 0;
  private pageblocks: Pointer = 0;

  constructor(parts: BootParts) {
    const { memory, image, mm, options } = parts;
    this.parts = parts;
    if (memory.load(BOOT_INFO + BootInfo.magic) === BOOT_MAGIC) bug("boot: this RAM holds a booted machine");
    // The image's addresses are still relative to its start, which the firmware has chosen.
    this.memblock = new Memblock(memory, pointerOf(mm.plan.firmware.imageStart) + mm.memblock.address);
    this.chunk = planPerCpuChunk(image.perCpuWords, options.perCpuReservedBytes, options.perCpuDynamicBytes);
  }

  /** The firmware's map becomes memblock's. */
  learnMemory(): void {
    const { memblock, log } = this;
    const { plan } = this.parts.mm;
    logFirmwareMap(log, plan);
    logNodes(log, plan.topology);
    memblock.format();
    for (const { startPfn, endPfn, node } of plan.firmware.ranges) {
      const size = (endPfn - startPfn) * PAGE_BYTES;
      if (!memblock.addNode(startPfn * PAGE_BYTES, size, node))
        throw new UsageError(`memoryMap: too many ranges; valid are up to ${memblock.memory.capacity}`);
    }
    memblock.trimMemory(PAGE_BYTES);
    const { lowmemBytes } = plan.topology.zones;
    if (lowmemBytes < memblock.endOfMemory()) memblock.setCurrentLimit(lowmemBytes);
  }

  /** What the firmware and the boot loader have put into memory. */
  reserveImage(): void {
    const { memblock } = this;
    const { imageStart, lowReserve } = this.parts.mm.plan.firmware;
    const imageBytes = this.imageBytes;
    this.reserve(0, Math.max(lowReserve, 2 * PAGE_BYTES));
    if (!memblock.isRegionMemory(imageStart, imageBytes))
      this.tooSmall(`the kernel image of ${imageBytes} bytes at 0x${imageStart.toString(16)}`);
    this.reserve(imageStart, imageBytes);
    memblock.allowResize();
  }

  placeMemMap(): void {
    const { memblock } = this;
    const { memMap, zones } = this.parts.mm.plan;
    if (memMap.windowPfn === 0) {
      const largest = zones.nodes.reduce((a, b) => (b.present > a.present ? b : a));
      const place = allocTryNodeRaw(memblock, { size: memMap.bytes, align: PAGE_BYTES, node: largest.id });
      if (place === 0) this.tooSmall(`mem_map of ${memMap.bytes} bytes`);
      this.memMap = pointerOf(place);
    } else {
      for (const node of zones.nodes) this.reserveBacking(node.id, node.present);
      this.memMap = frameOf(memMap.windowPfn);
    }
    const words = (memMap.frames / PAGEBLOCK_PAGES) * wordsIn(Pageblock);
    const place = allocTryNode(memblock, { size: words * WORD_BYTES });
    if (place === 0) this.tooSmall(`pageblocks of ${words * WORD_BYTES} bytes`);
    this.pageblocks = pointerOf(place);
  }

  placePerCpu(): void {
    const { topology } = this.parts.mm.plan;
    const { unitBytes } = this.chunk;
    this.units = placeUnits(this.memblock, topology, unitBytes);
    if (this.units.start === 0)
      this.tooSmall(`per-CPU areas of ${unitBytes} bytes for each of ${topology.possibleCpus} CPUs`);
    const groups = this.units.isLocal ? topology.cpuNode : topology.cpuNode.map(() => 0);
    for (const line of describePerCpuChunk(this.chunk, groups)) this.log.print(line);
  }

  /**
   * The first tasks' stacks, each on its CPU's node.  Linux has them from the page allocator; here they come before it, so
   * that they break up no large block.
   */
  placeStacks(bytes: number): Pointer[] {
    const { topology } = this.parts.mm.plan;
    if (bytes === 0) return [];
    return Array.from({ length: topology.possibleCpus }, (_, cpu) => {
      const place = allocTryNode(this.memblock, {
        size: bytes,
        align: PAGE_BYTES,
        node: topology.cpuNode[cpu],
      });
      if (place === 0)
        this.tooSmall(`kernel stacks of ${bytes} bytes for each of ${topology.possibleCpus} CPUs`);
      return pointerOf(place);
    });
  }

  bindImage(): void {
    this.parts.image.bind({
      staticStart: pointerOf(this.parts.mm.plan.firmware.imageStart),
      perCpuStart: pointerOf(this.units.start),
      unitWords: this.units.stride / WORD_BYTES,
    });
  }

  formatAll(): void {
    const { memory, mm } = this.parts;
    const { memMap, zones } = mm.plan;
    const { maxPfn } = mm.plan.topology;
    const at = { memMap: this.memMap, maxPfn, pageblocks: this.pageblocks, frames: memMap.frames };
    formatGlobals(memory, mm, at);
    for (const node of zones.nodes) {
      formatNode(memory, mm, node);
      formatZones(memory, mm, node);
    }
    formatPageLists(memory, mm);
  }

  fillMemMap(): void {
    const { memory, mm } = this.parts;
    const { ranges } = mm.plan.firmware;
    const plan = mm.plan.zones;
    const holes = initMemMap({ memory, memMap: this.memMap, ranges, plan, memblock: this.memblock });
    for (const { node, zoneIndex, pages } of holes) {
      this.log.print(`On node ${node}, zone ${ZONE_NAMES[zoneIndex]}: ${pages} pages in unavailable ranges`);
    }
    this.log.spend(this.presentPages * PAGE_STRUCT_NS);
  }

  buildZonelists(): void {
    const { memory, mm } = this.parts;
    const { topology, zones } = mm.plan;
    const orders = nodeOrders(
      topology,
      zones.nodes.map((node) => node.present > 0),
    );
    for (const [id, order] of orders.entries()) {
      const zoneAt = (node: number, index: number) => mm.zoneAt(node, index);
      writeZonelists(memory, mm.nodes.at(id), { id, order, nodes: zones.nodes, zoneAt });
      this.log.print(`Fallback order for Node ${id}: ${order.join(" ")}`);
    }
    const total = this.presentPages;
    // With fewer pageblocks than types nearly every block would be mixed anyway.
    const isGrouping = total >= PAGEBLOCK_PAGES * MIGRATE_TYPES;
    memory.write(mm.globals.address + PageGlobals.groupByMobilityDisabled, isGrouping ? 0 : 1);
    const grouping = `mobility grouping ${isGrouping ? "on" : "off"}`;
    this.log.print(`Built ${topology.nodes} zonelists, ${grouping}.  Total pages: ${total}`);
  }

  handOver(): void {
    const { memory, mm, attachBuddy } = this.parts;
    const availablePages = handOver(memory, mm, this.memblock, attachBuddy());
    const line = memoryLine({
      availablePages,
      physicalPages: this.presentPages,
      imageBytes: this.imageBytes,
      perCpuBytes: mm.plan.topology.possibleCpus * this.chunk.unitBytes,
      memMapBytes:
        mm.plan.memMap.windowPfn === 0 ? mm.plan.memMap.bytes : this.presentPages * PAGE_STRUCT_BYTES,
    });
    this.log.print(line);
  }

  /** Huge pages start late, when the marks stand: low memory is counted above them.  Linux: hugepage_init. */
  raiseForHugePages(): void {
    const { memory, mm, options } = this.parts;
    if (options.hugePages !== true) return;
    const minFree = mm.globals.address + PageGlobals.minFreeKbytes;
    const before = memory.read(minFree);
    const after = setupMinFree(memory, mm, options.minFreeKbytes ?? 0, true);
    if (after <= before) {
      memory.write(minFree, before);
      return;
    }
    this.log.print(
      `raising min_free_kbytes from ${before} to ${after} to help transparent hugepage allocations`,
    );
    setupWatermarks(memory, mm);
  }

  writeRecord(): BootRecord {
    const { memory, image, mm } = this.parts;
    const { topology, firmware, memMap } = mm.plan;
    writeBootInfo(memory, {
      cpus: topology.cpus,
      possibleCpus: topology.possibleCpus,
      nodes: topology.nodes,
      imageStart: pointerOf(firmware.imageStart),
      staticWords: image.staticWords,
      perCpuStart: pointerOf(this.units.start),
      perCpuWords: image.perCpuWords,
      reservedWords: this.chunk.reservedBytes / WORD_BYTES,
      dynamicWords: this.chunk.dynamicBytes / WORD_BYTES,
      unitWords: this.units.stride / WORD_BYTES,
      memMap: this.memMap,
      maxPfn: topology.maxPfn,
      windowPfn: memMap.windowPfn,
    });
    return readBootInfo(memory);
  }

  /** The frames that hold a node's page structures, as far as accounts go: the bytes are in the window. */
  private reserveBacking(node: number, present: number): void {
    const size = alignUp(present * PAGE_STRUCT_BYTES, PAGE_BYTES);
    if (size === 0) return;
    if (physAllocRange(this.memblock, { size, align: PAGE_BYTES, node }) === 0)
      this.tooSmall(`the page structures of node ${node}, ${size} bytes`);
  }

  private reserve(base: number, size: number): void {
    if (!this.memblock.reserve(base, size)) bug(`memblock: cannot reserve ${size} bytes at ${base}`);
  }

  private tooSmall(what: string): never {
    const { topology } = this.parts.mm.plan;
    const have = topology.presentPages * PAGE_BYTES;
    throw new UsageError(
      `memory: ${have} bytes leave no room for ${what}; valid is more memory, fewer CPUs or fewer nodes`,
    );
  }

  private get imageBytes(): number {
    return alignUp(physOf(this.parts.image.staticWords), PAGE_BYTES);
  }

  private get presentPages(): number {
    return this.parts.mm.plan.zones.nodes.reduce((sum, node) => sum + node.present, 0);
  }
}
