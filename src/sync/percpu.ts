/**
 * Per-CPU variables: a pointer names a place in CPU 0's unit, and each CPU has its own instance a whole number of units
 * further.
 *
 * Units are [static | reserved | dynamic] in the first chunk: the kernel image's variables, room for modules' variables,
 * and what `alloc` hands out.  Further chunks lie at the same distances, so that one offset a CPU serves them all.  Who
 * hands pieces out is above: see mm/percpu/percpu-allocator.
 *
 * A CPU accesses its own instance plainly, also from interrupt handlers: interrupts come at poll points only, never
 * inside one of these functions.  Another CPU's instance may be read as a hint.
 *
 * Linux: include/linux/percpu-defs.h, the interface of mm/percpu.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";

/** A word of CPU 0's unit, standing for that word of every unit; 0 none. */
export type PerCpuPointer = Pointer;

export interface PerCpuStats {
  readonly allocs: number;
  readonly frees: number;
  /** Pieces that are out, and the most there have been. */
  readonly current: number;
  readonly currentMax: number;
  readonly sizeMinBytes: number;
  readonly sizeMaxBytes: number;
  readonly chunks: number;
  /** Populated pages that nothing is handed out of. */
  readonly emptyPages: number;
  /** Of the first chunk. */
  readonly freeBytes: number;
  readonly longestFreeBytes: number;
}

/** Who hands out pieces. */
export interface PerCpuSource {
  alloc(sizeBytes: number, alignBytes: number, gfp?: number): PerCpuPointer;
  allocReserved(sizeBytes: number, alignBytes: number): PerCpuPointer;
  free(pointer: PerCpuPointer): void;
  stats(): PerCpuStats;
}

export class PerCpu {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly cpus: number;
  private readonly unitWords: number;
  /** From CPU 0's unit to this CPU's. */
  private readonly offset: number;
  private source: PerCpuSource | null = null;

  /** `cpus`: units, housekeeping CPUs included; `unitWords`: from one CPU's unit to the next. */
  constructor(parts: { cpu: Cpu; cpus: number; unitWords: number }) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.cpus = parts.cpus;
    this.unitWords = parts.unitWords;
    this.offset = parts.cpu.id * parts.unitWords;
  }

  /** Installs who hands out pieces. */
  install(source: PerCpuSource): void {
    this.source = source;
  }

  // ---- allocation ----

  /**
   * A zeroed piece of `sizeBytes` for every CPU, or 0 when there is no room.  Without `gfp` it may sleep; with one that may
   * not wait it comes from pages that are there.  Linux: __alloc_percpu, __alloc_percpu_gfp.
   */
  alloc(sizeBytes: number, alignBytes = 8, gfp?: number): PerCpuPointer {
    return this.pieces.alloc(sizeBytes, alignBytes, gfp);
  }

  /** The same from the room that is kept for modules' variables.  Linux: __alloc_reserved_percpu. */
  allocReserved(sizeBytes: number, alignBytes = 8): PerCpuPointer {
    return this.pieces.allocReserved(sizeBytes, alignBytes);
  }

  /** Gives back what `alloc` has returned, on any CPU; 0 is allowed.  Linux: free_percpu. */
  free(pointer: PerCpuPointer): void {
    if (pointer !== 0) this.pieces.free(pointer);
  }

  /** Linux: /sys/kernel/debug/percpu_stats. */
  stats(): PerCpuStats {
    return this.pieces.stats();
  }

  // ---- access ----

  /** The instance of `cpu`.  Linux: per_cpu_ptr. */
  of(pointer: PerCpuPointer, cpu: number): Pointer {
    return pointer + cpu * this.unitWords;
  }

  /** This CPU's instance.  Linux: this_cpu_ptr. */
  here(pointer: PerCpuPointer): Pointer {
    return pointer + this.offset;
  }

  /** Linux: this_cpu_read, and so on.  @cpu local */
  read(pointer: PerCpuPointer): number {
    return this.memory.read(pointer + this.offset);
  }
  write(pointer: PerCpuPointer, value: number): void {
    this.memory.write(pointer + this.offset, value);
  }
  add(pointer: PerCpuPointer, value: number): void {
    const at = pointer + this.offset;
    this.memory.write(at, this.memory.read(at) + value);
  }
  /** The value after.  Linux: this_cpu_add_return. */
  addReturn(pointer: PerCpuPointer, value: number): number {
    const at = pointer + this.offset;
    const sum = (this.memory.read(at) + value) | 0;
    this.memory.write(at, sum);
    return sum;
  }
  increment(pointer: PerCpuPointer): void {
    this.add(pointer, 1);
  }
  /** The value before. */
  exchange(pointer: PerCpuPointer, value: number): number {
    const before = this.read(pointer);
    this.write(pointer, value);
    return before;
  }
  /** The value before; `replacement` is written if that was `expected`. */
  compareExchange(pointer: PerCpuPointer, expected: number, replacement: number): number {
    const before = this.read(pointer);
    if (before === expected) this.write(pointer, replacement);
    return before;
  }

  /** Stays on this CPU until `putCpu`; its number.  Linux: get_cpu. */
  getCpu(): number {
    this.cpu.preemptDisable();
    return this.cpu.id;
  }
  putCpu(): void {
    this.cpu.preemptEnable();
  }
  /** This CPU's instance, to stay here until `putCpu`.  Linux: get_cpu_ptr. */
  getPointer(pointer: PerCpuPointer): Pointer {
    this.cpu.preemptDisable();
    return pointer + this.offset;
  }

  /** The sum of all CPUs' instances.  Exact at rest. */
  sum(pointer: PerCpuPointer): number {
    let sum = 0;
    for (let cpu = 0; cpu < this.cpus; cpu++) sum += this.memory.read(this.of(pointer, cpu));
    return sum;
  }

  private get pieces(): PerCpuSource {
    return this.source ?? bug("per-CPU memory is asked for before its allocator is installed");
  }
}
