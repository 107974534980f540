/**
 * Resident pages of an address space by kind: exact at rest, about right at any time.
 *
 * Linux: include/linux/mm.h add_mm_counter, get_mm_counter; struct mm_struct rss_stat.
 */

import type { Memory } from "../memory/memory.ts";
import { wordsIn } from "../memory/struct.ts";
import { PerCpuCounter, type PerCpuCounters } from "../sync/percpu-counter.ts";
import { type MmRef, MmStruct } from "./vm-area.ts";

/** Linux: enum MM_FILEPAGES and so on. */
export const RssMember = { FILE: 0, ANON: 1, SWAP: 2, SHMEM: 3 } as const;
const MEMBERS = Object.values(RssMember);

const COUNTER_WORDS = wordsIn(PerCpuCounter);
const at = (mm: MmRef, member: number): number => mm + MmStruct.rss + member * COUNTER_WORDS;

export class Rss {
  declare private readonly counters: PerCpuCounters;
  declare private readonly memory: Memory;

  constructor(memory: Memory, counters: PerCpuCounters) {
    this.memory = memory;
    this.counters = counters;
  }

  /** False when there is no per-CPU memory. */
  init(mm: MmRef): boolean {
    const made = MEMBERS.findIndex((member) => !this.counters.init(at(mm, member), 0));
    for (const member of MEMBERS.slice(0, made)) if (made >= 0) this.counters.destroy(at(mm, member));
    return made < 0;
  }

  destroy(mm: MmRef): void {
    for (const member of MEMBERS) this.counters.destroy(at(mm, member));
  }

  add(mm: MmRef, member: number, pages: number): void {
    this.counters.add(at(mm, member), pages);
  }

  /** Before pages go: as many as there are about now, if never were more.  Linux: update_hiwater_rss. */
  noteHighWater(mm: MmRef): void {
    const { memory, counters } = this;
    const pages =
      counters.readPositive(at(mm, RssMember.FILE)) +
      counters.readPositive(at(mm, RssMember.ANON)) +
      counters.readPositive(at(mm, RssMember.SHMEM));
    const most = mm + MmStruct.hiwaterRss;
    if (pages > memory.readFloat64(most)) memory.writeFloat64(most, pages);
  }

  /** Exact at rest. */
  read(mm: MmRef, member: number): number {
    return this.counters.sum(at(mm, member));
  }
}
