/**
 * What the firmware says of physical memory, and where it has put the kernel.
 *
 * A PC leaves the famous holes below 1 MiB, and its kernel is loaded at 16 MiB; a flat machine has memory from 0 and
 * its kernel in frame 2.  Frame 0 is never memory (it is null) and frame 1 holds the boot record.
 * Linux: arch/x86/kernel/e820.c, trim_bios_range, reserve_real_mode.
 */

import type { MemoryRange, Topology } from "../../hardware/topology.ts";
import { PAGE_BYTES } from "../../memory/units.ts";

export interface FirmwareEntry {
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
  readonly kind: "usable" | "reserved";
}

export interface FirmwareMap {
  readonly entries: readonly FirmwareEntry[];
  /** Usable memory in whole pages, frame 0 left out: what memblock will hold. */
  readonly ranges: readonly MemoryRange[];
  /** Physical address of the kernel image. */
  readonly imageStart: number;
  /** Everything below is reserved, as firmware and devices of old may write there. */
  readonly lowReserve: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Where a PC's extended BIOS data area begins, its video memory, its BIOS, and memory again. */
const EBDA_START = 0x9fc00;
const VIDEO_START = 0xa0000;
const BIOS_START = 0xf0000;
const LOW_END = MIB;
const PC_IMAGE_START = 16 * MIB;
/** The first frame after null and the boot record. */
const FIRST_FRAME = 2 * PAGE_BYTES;

export function firmwareMap(topology: Topology): FirmwareMap {
  const isPc = topology.firmware === "pc";
  const entries = isPc ? pcEntries(topology) : flatEntries(topology);
  const ranges = usableRanges(topology, entries);
  const lowReserve = isPc ? LOW_END : 0;
  return { entries, ranges, lowReserve, imageStart: imageStart(ranges, isPc) };
}

function flatEntries(topology: Topology): FirmwareEntry[] {
  return merged(topology.memory.map(bytesOf));
}

function pcEntries(topology: Topology): FirmwareEntry[] {
  const usable = merged(topology.memory.map(bytesOf)).flatMap((entry) => [
    { ...entry, end: Math.min(entry.end, EBDA_START) },
    { ...entry, start: Math.max(entry.start, LOW_END) },
  ]);
  const reserved = [
    { start: EBDA_START, end: VIDEO_START, kind: "reserved" as const },
    { start: BIOS_START, end: LOW_END, kind: "reserved" as const },
  ];
  return [...usable, ...reserved].filter((e) => e.start < e.end).sort((a, b) => a.start - b.start);
}

const bytesOf = (r: MemoryRange): FirmwareEntry => ({
  start: r.startPfn * PAGE_BYTES,
  end: r.endPfn * PAGE_BYTES,
  kind: "usable",
});

/** The firmware does not know nodes: touching ranges are one entry. */
function merged(entries: readonly FirmwareEntry[]): FirmwareEntry[] {
  const result: FirmwareEntry[] = [];
  for (const entry of entries) {
    const last = result[result.length - 1];
    if (last !== undefined && last.end === entry.start)
      result[result.length - 1] = { ...last, end: entry.end };
    else result.push(entry);
  }
  return result;
}

/** Nodes' memory where the firmware says usable, cut to whole pages. */
function usableRanges(topology: Topology, entries: readonly FirmwareEntry[]): MemoryRange[] {
  const ranges: MemoryRange[] = [];
  for (const { startPfn, endPfn, node } of topology.memory) {
    for (const entry of entries) {
      if (entry.kind !== "usable") continue;
      const start = Math.max(startPfn, Math.ceil(entry.start / PAGE_BYTES), 1);
      const end = Math.min(endPfn, Math.floor(entry.end / PAGE_BYTES));
      if (start < end) ranges.push({ startPfn: start, endPfn: end, node });
    }
  }
  return ranges;
}

/** A PC's kernel lies above the DMA zone if there is memory enough behind it. */
function imageStart(ranges: readonly MemoryRange[], isPc: boolean): number {
  const isMemory = (start: number, end: number) =>
    ranges.some((r) => r.startPfn * PAGE_BYTES <= start && end <= r.endPfn * PAGE_BYTES);
  if (isPc && isMemory(PC_IMAGE_START, 2 * PC_IMAGE_START)) return PC_IMAGE_START;
  return Math.max(ranges[0].startPfn * PAGE_BYTES, isPc ? LOW_END : FIRST_FRAME);
}
