/**
 * What has leaked, in words: object, cache, size, who took it, its first bytes.
 *
 * Linux: mm/kmemleak.c print_unreferenced, hex_dump_object.  Differs: the cache is named; who took it is known of caches
 * with STORE_USER, one place in the code in place of a backtrace.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { UsageError } from "../../memory/bug.ts";
import type { Regions } from "../../memory/regions.ts";
import type { Layout } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { Frames } from "../pages/frames.ts";
import type { PerCpuAllocator } from "../percpu/percpu-allocator.ts";
import { readName } from "../slab/cache-record.ts";
import { type CacheRef, KmemCache } from "../slab/kmem-cache.ts";
import { ObjectBytes } from "../slab/object-bytes.ts";
import type { SlabCaches } from "../slab/slab-caches.ts";
import { SlabFlag } from "../slab/slab-flags.ts";
import { Tracks } from "../slab/slab-track.ts";
import { SlubAllocator } from "../slab/slub-allocator.ts";
import { LeakScan, type Unreferenced } from "./leak-scan.ts";

export interface LeakParts {
  readonly cpu: Cpu;
  readonly pages: { readonly frames: Frames };
  readonly slabs: SlabCaches;
  readonly perCpu: PerCpu;
  readonly perCpuChunks: PerCpuAllocator;
  readonly regions: Regions;
}

/** An object that nothing refers to. */
export interface Leak {
  readonly address: Pointer;
  readonly sizeBytes: number;
  /** "" for a block that is too large for a cache. */
  readonly cache: string;
  /** As kmemleak prints it. */
  readonly text: string;
}

const DUMP_BYTES = 32;
const LINE_BYTES = 16;

/** Everything that is given out and that nothing refers to, at rest. */
export function findLeaks(parts: LeakParts): Leak[] {
  const { cpu, pages, slabs } = parts;
  const { memory } = cpu;
  const { allocator } = slabs;
  if (!(allocator instanceof SlubAllocator))
    throw new UsageError(
      `slab: ${slabs.kind} does not say which objects are given out; the leak scan needs slub`,
    );
  const scan = new LeakScan({
    ...parts,
    memory,
    frames: pages.frames,
    slabs: allocator.slabs,
    possibleCpus: slabs.possibleCpus,
    // A cache that others share has objects of several structs.
    layoutOf: (cache): Layout | null =>
      memory.read(cache + KmemCache.refcount) > 1 ? null : slabs.structOf(readName(memory, cache)),
  });
  const tracks = new Tracks(cpu, new ObjectBytes(memory), slabs.globals);
  return scan.run().map((object) => describe(parts, tracks, object));
}

function describe({ cpu }: LeakParts, tracks: Tracks, { start, words, cache }: Unreferenced): Leak {
  const { memory } = cpu;
  const sizeBytes = cache === 0 ? words * WORD_BYTES : memory.read(cache + KmemCache.objectSize);
  const name = cache === 0 ? "" : readName(memory, cache);
  const shown = Math.min(DUMP_BYTES, sizeBytes);
  const lines = [
    `unreferenced object 0x${(start * WORD_BYTES).toString(16).padStart(8, "0")} (size ${sizeBytes}):`,
    `  ${name === "" ? "large block of kmalloc" : `cache ${name}`}`,
    `  hex dump (first ${shown} bytes):`,
  ];
  for (let at = 0; at < shown; at += LINE_BYTES) {
    const bytes = Array.from({ length: Math.min(LINE_BYTES, shown - at) }, (_, i) =>
      memory.readByte(start * WORD_BYTES + at + i),
    );
    const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = bytes
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."))
      .join("");
    lines.push(`    ${hex.padEnd(3 * LINE_BYTES - 1)}  ${text}`);
  }
  if (cache !== 0 && keepsTracks(cpu, cache))
    for (const line of tracks.lines(cache, start)) if (line.startsWith("Allocated")) lines.push(`  ${line}`);
  return { address: start, sizeBytes, cache: name, text: `${lines.join("\n")}\n` };
}

const keepsTracks = (cpu: Cpu, cache: CacheRef): boolean =>
  (cpu.memory.read(cache + KmemCache.flags) & SlabFlag.STORE_USER) !== 0;
