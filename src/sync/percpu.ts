/**
 * Per-CPU variables: a pointer names a place in CPU 0's unit, and each CPU has its own instance a whole number of units
 * further.
 *
 * Units are [static | reserved | dynamic]: the kernel image's variables, room for modules' variables, and what `alloc`
 * hands out.  Only this first chunk exists here; when it is full `alloc` returns 0.  Chunks that are mapped and
 * populated page by page need vmalloc, and belong above it: they share `pcpu_lock`, `ChunkState` and the statistics.
 *
 * A CPU accesses its own instance plainly, also from interrupt handlers: interrupts come at poll points only, never
 * inside one of these functions.  Another CPU's instance may be read as a hint.
 *
 * Linux: mm/percpu.c, include/linux/percpu-defs.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { array, embed, struct, word } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../memory/units.ts";
import { LockClass } from "./lock-class.ts";
import { ChunkState, mapWords, PerCpuChunk } from "./percpu-chunk.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

/** A word of CPU 0's unit, standing for that word of every unit; 0 none. */
export type PerCpuPointer = Pointer;

/** Linux: PCPU_MIN_UNIT_SIZE. */
const MAX_ALLOC_BYTES = 32 << 10;

const PerCpuState = struct("pcpu_state", {
  lock: embed(SpinLock, "atomic"),
  dynamic: embed(ChunkState, "lock:pcpu_lock"),
  reserved: embed(ChunkState, "lock:pcpu_lock"),
  allocs: word("lock:pcpu_lock", "counter"),
  frees: word("lock:pcpu_lock", "counter"),
  /** Pieces that are out, and the most there have been. */
  current: word("lock:pcpu_lock", "counter"),
  currentMax: word("lock:pcpu_lock", "counter"),
  sizeMin: word("lock:pcpu_lock"),
  sizeMax: word("lock:pcpu_lock"),
});
const state = PerCpuState;

export interface PerCpuSlots {
  readonly state: Slot;
  readonly dynamicUsed: Slot;
  readonly dynamicBounds: Slot;
  readonly reservedUsed: Slot;
  readonly reservedBounds: Slot;
}

/** Where boot has put the units. */
export interface PerCpuUnits {
  readonly perCpuStart: Pointer;
  /** Words of the static, reserved and dynamic parts, in this order from the start of each unit. */
  readonly perCpuWords: number;
  readonly reservedWords: number;
  readonly dynamicWords: number;
  readonly unitWords: number;
}

export interface PerCpuStats {
  readonly allocs: number;
  readonly frees: number;
  readonly current: number;
  readonly currentMax: number;
  readonly sizeMinBytes: number;
  readonly sizeMaxBytes: number;
  readonly freeBytes: number;
  readonly longestFreeBytes: number;
}

export class PerCpu {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly locks: SpinLocks;
  private readonly cpus: number;
  private readonly base: Pointer;
  private readonly dynamic: PerCpuChunk;
  private readonly reserved: PerCpuChunk;
  private readonly unitWords: number;
  private readonly capacity: { dynamic: number; reserved: number };
  /** From CPU 0's unit to this CPU's. */
  private readonly offset: number;

  /** `cpus`: units, housekeeping CPUs included. */
  constructor(parts: {
    cpu: Cpu;
    locks: SpinLocks;
    cpus: number;
    slots: PerCpuSlots;
    units: PerCpuUnits;
  }) {
    const { cpu, slots, units } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = parts.locks;
    this.cpus = parts.cpus;
    this.base = slots.state.address;
    this.unitWords = units.unitWords;
    this.offset = cpu.id * units.unitWords;
    this.capacity = {
      dynamic: (slots.dynamicUsed.stride - 1) * 32,
      reserved: (slots.reservedUsed.stride - 1) * 32,
    };
    this.dynamic = new PerCpuChunk(this.memory, {
      state: this.base + state.dynamic,
      used: slots.dynamicUsed.address,
      bounds: slots.dynamicBounds.address,
    });
    this.reserved = new PerCpuChunk(this.memory, {
      state: this.base + state.reserved,
      used: slots.reservedUsed.address,
      bounds: slots.reservedBounds.address,
    });
  }

  /** Reserves the maps; a page more than `dynamicBytes`, for what rounding up the unit adds to the dynamic part. */
  static declare(layout: ImageLayout, reservedBytes: number, dynamicBytes: number): PerCpuSlots {
    const map = (name: string, bytes: number): Slot => {
      const words = mapWords(bytes / WORD_BYTES) + 1;
      return layout.place(name, struct(name, { bits: array(words, "lock:pcpu_lock", "flags") }));
    };
    return {
      state: layout.place("pcpu_state", PerCpuState),
      dynamicUsed: map("pcpu_alloc_map", dynamicBytes + PAGE_BYTES),
      dynamicBounds: map("pcpu_bound_map", dynamicBytes + PAGE_BYTES),
      reservedUsed: map("pcpu_reserved_alloc_map", reservedBytes),
      reservedBounds: map("pcpu_reserved_bound_map", reservedBytes),
    };
  }

  /** First state, on the boot CPU; RAM is zero. */
  format(units: PerCpuUnits): void {
    const { capacity } = this;
    if (units.dynamicWords > capacity.dynamic || units.reservedWords > capacity.reserved) {
      bug(
        `percpu: maps for ${capacity.reserved} reserved and ${capacity.dynamic} dynamic words, the units have ` +
          `${units.reservedWords} and ${units.dynamicWords}`,
      );
    }
    this.locks.format(this.base + state.lock, LockClass.PERCPU);
    const reservedStart = units.perCpuStart + units.perCpuWords;
    this.reserved.format(reservedStart, units.reservedWords);
    this.dynamic.format(reservedStart + units.reservedWords, units.dynamicWords);
  }

  // ---- allocation ----

  /** A zeroed piece of `sizeBytes` for every CPU, or 0 when there is no room.  Linux: __alloc_percpu. */
  alloc(sizeBytes: number, alignBytes = 8): PerCpuPointer {
    return this.allocFrom(this.dynamic, sizeBytes, alignBytes);
  }

  /** The same from the room that is kept for modules' variables.  Linux: __alloc_reserved_percpu. */
  allocReserved(sizeBytes: number, alignBytes = 8): PerCpuPointer {
    return this.allocFrom(this.reserved, sizeBytes, alignBytes);
  }

  /** Gives back what `alloc` has returned; 0 is allowed.  Linux: free_percpu. */
  free(pointer: PerCpuPointer): void {
    if (pointer === 0) return;
    const chunk = this.dynamic.contains(pointer) ? this.dynamic : this.reserved;
    if (!chunk.contains(pointer)) bug(`free_percpu: word ${pointer} is not dynamic per-CPU memory`);
    const flags = this.locks.lockIrqSave(this.base + state.lock);
    chunk.free(pointer);
    this.count(state.frees, 1);
    this.count(state.current, -1);
    this.locks.unlockIrqRestore(this.base + state.lock, flags);
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

  // ---- reports ----

  /** Linux: /sys/kernel/debug/percpu_stats. */
  stats(): PerCpuStats {
    const get = (field: number): number => this.memory.read(this.base + field);
    return {
      allocs: get(state.allocs),
      frees: get(state.frees),
      current: get(state.current),
      currentMax: get(state.currentMax),
      sizeMinBytes: get(state.sizeMin),
      sizeMaxBytes: get(state.sizeMax),
      freeBytes: this.dynamic.freeWords * WORD_BYTES,
      longestFreeBytes: this.dynamic.contigWords * WORD_BYTES,
    };
  }

  /** The chunks' invariants, and that the pieces that are out add up. */
  check(): void {
    this.dynamic.check("percpu dynamic chunk");
    this.reserved.check("percpu reserved chunk");
    const { allocs, frees, current } = this.stats();
    if (allocs - frees !== current) bug(`percpu: ${allocs} allocs, ${frees} frees, ${current} are out`);
  }

  private allocFrom(chunk: PerCpuChunk, sizeBytes: number, alignBytes: number): PerCpuPointer {
    const align = Math.max(alignBytes, WORD_BYTES);
    if (sizeBytes <= 0 || sizeBytes > MAX_ALLOC_BYTES || align > PAGE_BYTES || (align & (align - 1)) !== 0) {
      bug(`illegal size (${sizeBytes}) or align (${alignBytes}) for percpu allocation`);
    }
    const words = Math.ceil(sizeBytes / WORD_BYTES);
    const flags = this.locks.lockIrqSave(this.base + state.lock);
    const pointer = chunk.alloc(words, align / WORD_BYTES);
    if (pointer !== 0) this.countAlloc(words * WORD_BYTES);
    this.locks.unlockIrqRestore(this.base + state.lock, flags);
    if (pointer === 0) return 0;
    for (let cpu = 0; cpu < this.cpus; cpu++) this.memory.fill(this.of(pointer, cpu), words, 0);
    return pointer;
  }

  /** Linux: pcpu_stats_area_alloc. */
  private countAlloc(bytes: number): void {
    const { memory, base } = this;
    this.count(state.allocs, 1);
    this.count(state.current, 1);
    const current = memory.read(base + state.current);
    if (current > memory.read(base + state.currentMax)) memory.write(base + state.currentMax, current);
    const sizeMin = memory.read(base + state.sizeMin);
    if (sizeMin === 0 || bytes < sizeMin) memory.write(base + state.sizeMin, bytes);
    if (bytes > memory.read(base + state.sizeMax)) memory.write(base + state.sizeMax, bytes);
  }

  private count(field: number, by: number): void {
    this.memory.write(this.base + field, this.memory.read(this.base + field) + by);
  }
}
