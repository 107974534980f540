/**
 * Sets of CPUs: bit `cpu & 31` of word `cpu >> 5`.  Housekeeping CPUs have bits like all others.
 *
 * A mask that several CPUs change at once (online CPUs, the CPUs of an address space) is changed and looked at by the
 * marked methods; to walk one, copy it first (`copy`, `and`), for `next` reads plainly.
 *
 * Linux: include/linux/cpumask.h.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { array, type FieldSpec, type Guard, struct } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";

/** Bits in a mask: 256 CPUs for programs, and housekeeping CPUs beside them. */
export const MASK_CPUS = 320;
const MASK_WORDS = MASK_CPUS / 32;

/** A field that is a set of CPUs. */
export const cpuMask = (guard: Guard): FieldSpec => array(MASK_WORDS, guard, "flags");

export const CpuMask = struct("cpumask", { bits: cpuMask("atomic") });

export class CpuMasks {
  /** All CPUs of the machine. */
  readonly cpus: number;
  private readonly memory: Memory;
  private readonly words: number;

  constructor(memory: Memory, cpus: number) {
    if (cpus > MASK_CPUS) bug(`${cpus} CPUs do not fit a cpumask of ${MASK_CPUS} bits`);
    this.memory = memory;
    this.cpus = cpus;
    this.words = (cpus + 31) >> 5;
  }

  // ---- marked ----

  /** Linux: cpumask_test_cpu. */
  has(mask: Pointer, cpu: number): boolean {
    return (this.memory.load(mask + (cpu >> 5)) & (1 << (cpu & 31))) !== 0;
  }

  /** Adds `cpu`; whether it was there already.  Linux: cpumask_test_and_set_cpu. */
  add(mask: Pointer, cpu: number): boolean {
    const bit = 1 << (cpu & 31);
    return (this.memory.or(mask + (cpu >> 5), bit) & bit) !== 0;
  }

  /** Removes `cpu`; whether it was there.  Linux: cpumask_test_and_clear_cpu. */
  remove(mask: Pointer, cpu: number): boolean {
    const bit = 1 << (cpu & 31);
    return (this.memory.and(mask + (cpu >> 5), ~bit) & bit) !== 0;
  }

  /** Whether `mask` has no CPU.  Linux: cpumask_empty. */
  isEmpty(mask: Pointer): boolean {
    for (let w = 0; w < this.words; w++) if (this.memory.load(mask + w) !== 0) return false;
    return true;
  }

  /** CPUs in `mask`.  Linux: cpumask_weight. */
  weight(mask: Pointer): number {
    let sum = 0;
    for (let w = 0; w < this.words; w++) sum += bitCount(this.memory.load(mask + w));
    return sum;
  }

  // ---- on a mask that is this CPU's own: `to` is written plainly, sources are loaded marked ----

  clear(to: Pointer): void {
    this.memory.fill(to, MASK_WORDS, 0);
  }

  /** Adds `cpu` to a mask of this CPU.  Linux: __cpumask_set_cpu. */
  addOwn(to: Pointer, cpu: number): void {
    const at = to + (cpu >> 5);
    this.memory.write(at, this.memory.read(at) | (1 << (cpu & 31)));
  }

  /** Removes `cpu` from a mask of this CPU.  Linux: __cpumask_clear_cpu. */
  removeOwn(to: Pointer, cpu: number): void {
    const at = to + (cpu >> 5);
    this.memory.write(at, this.memory.read(at) & ~(1 << (cpu & 31)));
  }

  /** Linux: cpumask_or. */
  addAll(to: Pointer, from: Pointer): void {
    const { memory } = this;
    for (let w = 0; w < this.words; w++) memory.write(to + w, memory.read(to + w) | memory.load(from + w));
  }

  copy(to: Pointer, from: Pointer): void {
    for (let w = 0; w < this.words; w++) this.memory.write(to + w, this.memory.load(from + w));
  }

  /** `to` becomes `a & b`.  Linux: cpumask_and. */
  and(to: Pointer, a: Pointer, b: Pointer): void {
    const { memory } = this;
    for (let w = 0; w < this.words; w++) memory.write(to + w, memory.load(a + w) & memory.load(b + w));
  }

  /** The first CPU after `cpu` in a mask of this CPU, or -1.  Linux: cpumask_next; start with -1. */
  next(mask: Pointer, cpu: number): number {
    const from = cpu + 1;
    let w = from >> 5;
    if (w >= this.words) return -1;
    let bits = this.memory.read(mask + w) & (-1 << (from & 31));
    while (bits === 0) {
      if (++w >= this.words) return -1;
      bits = this.memory.read(mask + w);
    }
    return (w << 5) + 31 - Math.clz32(bits & -bits);
  }

  /** The CPUs of `mask` in the list form of /sys/devices/system/cpu/online: "0-3,8". */
  list(mask: Pointer): string {
    const parts: string[] = [];
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      if (!this.has(mask, cpu)) continue;
      const first = cpu;
      while (cpu + 1 < this.cpus && this.has(mask, cpu + 1)) cpu++;
      parts.push(first === cpu ? `${first}` : `${first}-${cpu}`);
    }
    return parts.join(",");
  }
}

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
