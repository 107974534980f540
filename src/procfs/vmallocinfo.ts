/**
 * /proc/vmallocinfo: every area of the vmalloc range that is in use or not yet purged.
 *
 * Linux: mm/vmalloc.c vmalloc_info_show, show_numa_info, show_purge_info.  Differs: who asked is a name, whose place in
 * the code is always +0x0/0x0.
 */

import { WORD_BYTES } from "../memory/units.ts";
import type { Vmalloc } from "../mm/vmap/vmalloc.ts";
import { formatAddress } from "../mm/vmap/vmalloc-space.ts";
import { type AreaRef, CALLER_WORDS, VMAP_RAM, VmapArea, VmFlag, VmStruct } from "../mm/vmap/vmap-area.ts";
import type { ProcSource } from "./source.ts";

/** What the flags of an area are called, in the order of the file. */
const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [VmFlag.IOREMAP, "ioremap"],
  [VmFlag.ALLOC, "vmalloc"],
  [VmFlag.MAP, "vmap"],
];

export function vmallocinfo({ vmap }: ProcSource): string {
  if (vmap === null || !vmap.space.isReady) return "";
  const { areas } = vmap;
  const lines: string[] = [];
  const add = (at: AreaRef, fields: readonly string[]): void => {
    const [start, end] = [areas.startOf(at), areas.endOf(at)];
    lines.push(vmallocLine(formatAddress(start), formatAddress(end), end - start, fields));
  };
  areas.forEachBusy((at) => {
    const fields = busyFields(vmap, at);
    if (fields !== null) add(at, fields);
  });
  areas.forEachLazy((at) => add(at, ["unpurged vm_area"]));
  return lines.map((line) => `${line}\n`).join("");
}

/** Null for an area that is not shown: its pages are not there yet. */
function busyFields(vmap: Vmalloc, at: AreaRef): string[] | null {
  const { memory } = vmap.space;
  if ((vmap.space.flagsOf(at) & VMAP_RAM) !== 0) return ["vm_map_ram"];
  const vm = memory.read(at + VmapArea.vm);
  const flags = vm === 0 ? VmFlag.UNINITIALIZED : memory.read(vm + VmStruct.flags);
  if ((flags & VmFlag.UNINITIALIZED) !== 0) return null;
  const count = memory.read(vm + VmStruct.nrPages);
  const physical = memory.readFloat64(vm + VmStruct.physAddr);
  return [
    `${callerOf(vmap, vm)}+0x0/0x0`,
    ...(count > 0 ? [`pages=${count}`] : []),
    ...(physical !== 0 ? [`phys=0x${formatAddress(physical)}`] : []),
    ...FLAG_NAMES.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name),
    ...(memory.readFloat64(vm + VmStruct.pages) < 0 ? ["vpages"] : []),
    ...nodeFields(vmap, vm, count),
  ];
}

/** Pages of each node.  Linux: show_numa_info. */
function nodeFields(vmap: Vmalloc, vm: number, count: number): string[] {
  const { frames } = vmap.parts.pages;
  const pages: number[] = new Array(frames.nodeCount).fill(0);
  for (let i = 0; i < count; i++) pages[frames.nodeOf(frames.pageOf(vmap.frames.get(vm, i)))]++;
  return pages.flatMap((sum, node) => (sum > 0 ? [`N${node}=${sum}`] : []));
}

function callerOf({ space: { memory } }: Vmalloc, vm: number): string {
  const codes = Array.from({ length: CALLER_WORDS * WORD_BYTES }, (_, i) =>
    memory.readByte((vm + VmStruct.caller) * WORD_BYTES + i),
  );
  return String.fromCharCode(...codes.filter((code) => code !== 0));
}

/** A line of /proc/vmallocinfo; addresses are sixteen digits. */
export const vmallocLine = (start: string, end: string, bytes: number, fields: readonly string[]): string =>
  `0x${start}-0x${end} ${String(bytes).padStart(7)} ${fields.join(" ")}`;
