/**
 * The frames of the machine: mem_map, zones, nodes and pageblocks as one CPU sees them.
 *
 * A view: every field is written once at boot and copied here, so that the paths read no globals.
 */

import type { Memory } from "../../memory/memory.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";
import { PAGEBLOCK_ORDER } from "./migrate-types.ts";
import type { NodeRef } from "./node.ts";
import { NODE_WORDS } from "./node.ts";
import { PAGE_WORDS, Page, type PageRef } from "./page.ts";
import { ZONE_SHIFT, ZONE_SLOTS } from "./page-flags.ts";
import { PAGEBLOCK_TYPE_MASK, PageGlobals } from "./page-globals.ts";
import { ZONE_WORDS, Zone, type ZoneRef } from "./zone.ts";
import { ZONE_INDEXES } from "./zone-index.ts";

const globalField = PageGlobals;
const pageField = Page;
const zoneField = Zone;

export class Frames {
  declare readonly memory: Memory;
  declare readonly globals: Pointer;
  declare readonly memMap: Pointer;
  /** First frame past the last. */
  declare readonly maxPfn: Pfn;
  declare readonly zones: Pointer;
  declare readonly nodes: Pointer;
  declare readonly nodeCount: number;
  declare readonly pageblocks: Pointer;

  /** Attaches to the globals that boot has written. */
  constructor(memory: Memory, globals: Pointer) {
    this.memory = memory;
    this.globals = globals;
    this.memMap = memory.read(globals + globalField.memMap);
    this.maxPfn = memory.read(globals + globalField.maxPfn);
    this.zones = memory.read(globals + globalField.zones);
    this.nodes = memory.read(globals + globalField.nodes);
    this.nodeCount = memory.read(globals + globalField.nodeCount);
    this.pageblocks = memory.read(globals + globalField.pageblocks);
  }

  /** Linux: pfn_to_page. */
  pageOf(pfn: Pfn): PageRef {
    return this.memMap + pfn * PAGE_WORDS;
  }

  /** Linux: page_to_pfn. */
  pfnOf(page: PageRef): Pfn {
    return (page - this.memMap) >> 4;
  }

  /** Linux: page_zone. */
  zoneOf(page: PageRef): ZoneRef {
    return this.zones + (this.memory.read(page + pageField.flags) >>> ZONE_SHIFT) * ZONE_WORDS;
  }

  /** Linux: page_to_nid. */
  nodeOf(page: PageRef): number {
    return (this.memory.read(page + pageField.flags) >>> ZONE_SHIFT) >> 3;
  }

  /** Linux: NODE_DATA(node)->node_zones[index]. */
  zoneAt(node: number, index: number): ZoneRef {
    return this.zones + (node * ZONE_SLOTS + index) * ZONE_WORDS;
  }

  /** Linux: NODE_DATA. */
  nodeAt(node: number): NodeRef {
    return this.nodes + node * NODE_WORDS;
  }

  /** Zones with frames, by node, then lowest first.  Linux: for_each_populated_zone. */
  populatedZones(): ZoneRef[] {
    const found: ZoneRef[] = [];
    for (let node = 0; node < this.nodeCount; node++) {
      for (let index = 0; index < ZONE_INDEXES; index++) {
        const zone = this.zoneAt(node, index);
        if (this.memory.read(zone + zoneField.presentPages) !== 0) found.push(zone);
      }
    }
    return found;
  }

  /** Linux: zone_spans_pfn. */
  spans(zone: ZoneRef, pfn: Pfn): boolean {
    const start = this.memory.read(zone + zoneField.startPfn);
    return pfn >= start && pfn < start + this.memory.read(zone + zoneField.spannedPages);
  }

  /** The migrate type of the pageblock around `pfn`; a hint unless zone.lock is held.  Linux: get_pfnblock_migratetype. */
  blockType(pfn: Pfn): number {
    return this.memory.read(this.pageblocks + (pfn >> PAGEBLOCK_ORDER)) & PAGEBLOCK_TYPE_MASK;
  }

  /** @holds zone.lock.  Linux: set_pageblock_migratetype. */
  setBlockType(pfn: Pfn, type: number): void {
    const at = this.pageblocks + (pfn >> PAGEBLOCK_ORDER);
    this.memory.write(at, (this.memory.read(at) & ~PAGEBLOCK_TYPE_MASK) | type);
  }
}
