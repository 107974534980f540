/**
 * The kernel image: static structures and the static per-CPU area, laid out before memory exists.
 *
 * Subsystems declare what they need, in one fixed order; the boot CPU reserves the room (`bind`) and formats it, every
 * other CPU declares the same and binds to the same start, read from the boot record.  A slot's address is valid after
 * `bind`; hot code copies it into a readonly field.
 */

import { bug } from "./bug.ts";
import type { Regions } from "./regions.ts";
import { layoutOf } from "./struct.ts";
import { alignUp, LINE_WORDS, type Pointer } from "./units.ts";

/** A static structure, or an array of `count` of them `stride` words apart. */
export class Slot {
  readonly name: string;
  readonly offsets: object;
  readonly count: number;
  readonly stride: number;
  /** First word; 0 before `bind`. */
  address: Pointer = 0;

  constructor(name: string, offsets: object, count: number) {
    this.name = name;
    this.offsets = offsets;
    this.count = count;
    this.stride = alignUp(layoutOf(offsets).words, 2);
  }

  at(index: number): Pointer {
    if (index < 0 || index >= this.count) bug(`${this.name}[${index}]: valid are 0 to ${this.count - 1}`);
    return this.address + index * this.stride;
  }
}

/** A static per-CPU variable: one instance in each CPU's unit. */
export class PerCpuSlot extends Slot {
  /** Words between the units of two CPUs; 0 before `bind`. */
  unitWords = 0;

  /** Linux: per_cpu_ptr(). */
  of(cpu: number): Pointer {
    return this.address + cpu * this.unitWords;
  }
}

export class ImageLayout {
  private readonly statics: Slot[] = [];
  private readonly perCpus: PerCpuSlot[] = [];
  private staticTop = 0;
  private unitTop = 0;

  /** Declares a static structure; each starts on a cache line of its own. */
  place(name: string, offsets: object, count = 1): Slot {
    const slot = new Slot(name, offsets, count);
    slot.address = this.staticTop;
    this.staticTop = alignUp(this.staticTop + slot.stride * count, LINE_WORDS);
    this.statics.push(slot);
    return slot;
  }

  /** Declares a static per-CPU variable; each starts on a cache line of its own. */
  perCpu(name: string, offsets: object, count = 1): PerCpuSlot {
    const slot = new PerCpuSlot(name, offsets, count);
    slot.address = this.unitTop;
    this.unitTop = alignUp(this.unitTop + slot.stride * count, LINE_WORDS);
    this.perCpus.push(slot);
    return slot;
  }

  /** Words of the static area. */
  get staticWords(): number {
    return this.staticTop;
  }

  /** Words of one CPU's static per-CPU area. */
  get perCpuWords(): number {
    return this.unitTop;
  }

  /** Fixes all addresses: the static area's start, the first unit's start, and the words from unit to unit. */
  bind(at: { staticStart: Pointer; perCpuStart: Pointer; unitWords: number }): void {
    if (at.unitWords < this.unitTop)
      bug(`per-CPU unit of ${at.unitWords} words, ${this.unitTop} are declared`);
    for (const slot of this.statics) slot.address += at.staticStart;
    for (const slot of this.perCpus) {
      slot.address += at.perCpuStart;
      slot.unitWords = at.unitWords;
    }
  }

  /** Registers everything declared, for reports that name addresses. */
  register(regions: Regions, cpus: number): void {
    for (const s of this.statics) regions.add(s.name, s.address, s.offsets, s.count, s.stride);
    for (const s of this.perCpus) {
      for (let cpu = 0; cpu < cpus; cpu++) {
        regions.add(`${s.name}@cpu${cpu}`, s.of(cpu), s.offsets, s.count, s.stride);
      }
    }
  }
}
