/** /sys/kernel/debug/kmemleak: what is given out and nothing refers to.  Linux: mm/kmemleak.c kmemleak_seq_show. */

import { bug } from "../memory/bug.ts";
import { findLeaks } from "../mm/leaks/leaks.ts";
import type { ProcSource, SlabSource } from "./source.ts";

/** Empty when nothing has leaked. */
export function kmemleak(source: ProcSource & SlabSource): string {
  const perCpuChunks = source.perCpuChunks ?? bug("kmemleak: this machine has no per-CPU allocator");
  return findLeaks({ ...source, perCpuChunks })
    .map(({ text }) => text)
    .join("");
}
