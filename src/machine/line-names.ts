/** Names of words for the cache-line report: object, field, and the lock that a word is part of. */

import type { Place, Region } from "../memory/regions.ts";
import { FRAME_WORDS, type Pointer, pfnOf, WORD_BYTES } from "../memory/units.ts";
import { NODE_STAT_NAMES, NUMA_STAT_NAMES, ZONE_STAT_NAMES } from "../mm/pages/counters.ts";
import { Page, PageType } from "../mm/pages/page.ts";
import { ZONE_SLOTS } from "../mm/pages/page-flags.ts";
import { ZONE_NAMES } from "../mm/pages/zone-index.ts";
import type { Kernel } from "./kernel.ts";
import type { WordRole } from "./line-report.ts";

export interface WordName {
  /** The object, for example `zone[Normal]`. */
  readonly object: string;
  /** The object's kind, the same for all of an array and for all CPUs: `zone`. */
  readonly struct: string;
  /** The field within the object; "" in memory that is nobody's structure. */
  readonly path: string;
  /** Object and field. */
  readonly text: string;
  /** The lock or message that the word is part of, or the word itself. */
  readonly unit: string;
  readonly role: WordRole;
  readonly kind: string;
  readonly guard: string;
}

/** Structures whose words belong together: moving one of them to another line makes no sense. */
const ROLES: Readonly<Record<string, WordRole>> = {
  ...Object.fromEntries(
    ["spinlock", "rwlock", "seqlock", "mutex", "rwsem", "semaphore"].map((s) => [s, "lock"]),
  ),
  ...Object.fromEntries(
    [
      "queue_node",
      "osq_node",
      "sleeper",
      "semaphore_waiter",
      "wait_queue_entry",
      "call_single_data",
      "call_single_queue",
      "call_function_data",
    ].map((s) => [s, "message"]),
  ),
};

/** Arrays whose elements have names. */
const ELEMENTS: Readonly<Record<string, readonly string[]>> = {
  "zone.stat": ZONE_STAT_NAMES,
  "pg_data.stat": NODE_STAT_NAMES,
  "page_globals.zoneStat": ZONE_STAT_NAMES,
  "page_globals.nodeStat": NODE_STAT_NAMES,
  "per_cpu_zonestat.diff": ZONE_STAT_NAMES,
  "per_cpu_zonestat.numaEvent": NUMA_STAT_NAMES.flatMap((name) => [name, name]),
  "per_cpu_nodestat.diff": NODE_STAT_NAMES,
  // Whatever the frame was when it was on a list: the links are the same words.
  "page.rest": ["next", "prev"],
};

/** Names words by what lies there at present; `ram` is read directly, so that naming costs no simulated time. */
export function wordNamer(kernel: Kernel, ram: Int32Array): (address: Pointer) => WordName {
  const read = (address: Pointer): number => ram[address];
  return (address) => {
    const place = kernel.regions.find(address, read);
    return place === null ? frameName(kernel, ram, address) : placeName(kernel, place);
  };
}

/** A region's name without the CPU whose instance it is. */
const structName = ({ name }: Region): string => name.replace(/@cpu\d+$/, "");

function placeName(kernel: Kernel, place: Place): WordName {
  const { region, index, part, partPath, field } = place;
  const path = elementNamed(place);
  const object = region.count > 1 ? `${region.name}[${elementLabel(kernel, place) ?? index}]` : region.name;
  const text = `${object}.${path}`;
  const role = ROLES[part.name] ?? "data";
  return {
    object,
    struct: structName(region),
    path,
    text,
    unit: role !== "data" ? [object, partPath].filter((s) => s !== "").join(".") : text,
    role,
    kind: field?.kind ?? "",
    guard: field?.guard ?? "",
  };
}

/** The path, with the name of an array's element for its number where it has one. */
function elementNamed({ path, part, field }: Place): string {
  const names = ELEMENTS[`${part.name}.${field?.name}`];
  const match = /^(.*)\[(\d+)\]$/.exec(path);
  if (names === undefined || match === null) return path;
  const name = names[Number(match[2])];
  return name === undefined ? path : `${match[1]}[${name}]`;
}

/** What frames of a kind hold. */
const CONTENTS: Readonly<Record<number, string>> = {
  [PageType.PAGE_TABLE]: "page tables",
  [PageType.ANON]: "pages of programs",
  [PageType.FILE]: "pages of files",
};

/** A word that no region covers: the contents of a page frame. */
function frameName({ pages }: Kernel, ram: Int32Array, address: Pointer): WordName {
  const type = ram[pages.frames.pageOf(pfnOf(address)) + Page.type] & 0xff;
  const object = `frame ${pfnOf(address)}`;
  const text = `${object}+0x${((address % FRAME_WORDS) * WORD_BYTES).toString(16)}`;
  return {
    object,
    struct: CONTENTS[type] ?? "contents of frames",
    path: "",
    text,
    unit: text,
    role: "data",
    kind: "",
    guard: "",
  };
}

/** Which zone or node an element of an array of the kernel image is; null where the index says it all. */
function elementLabel(kernel: Kernel, { region, index }: Place): string | null {
  const { nodes } = kernel.topology;
  const zone = (node: number, zoneIndex: number): string =>
    nodes > 1 ? `node ${node} ${ZONE_NAMES[zoneIndex]}` : ZONE_NAMES[zoneIndex];
  const name = structName(region);
  if (name === "zone") return zone(Math.floor(index / ZONE_SLOTS), index % ZONE_SLOTS);
  if (name === "per_cpu_pageset" || name === "per_cpu_zonestat") {
    const place = kernel.image.mm.populated[index];
    return zone(place.node, place.index);
  }
  if (name === "zone_parts") {
    const { possibleCpus } = kernel.topology;
    const place = kernel.image.mm.populated[Math.floor(index / possibleCpus)];
    return `${zone(place.node, place.index)} cpu ${index % possibleCpus}`;
  }
  return null;
}
