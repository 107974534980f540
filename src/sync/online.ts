/**
 * Which CPUs answer interrupts: a CPU is online from the moment it takes part in a run until it leaves it.
 *
 * Linux: cpu_online_mask, set by set_cpu_online in kernel/cpu.c.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Pointer } from "../memory/units.ts";
import { CpuMask, type CpuMasks } from "./cpumask.ts";

export class OnlineCpus {
  readonly mask: Pointer;
  private readonly masks: CpuMasks;

  constructor(masks: CpuMasks, slot: Slot) {
    this.masks = masks;
    this.mask = slot.address;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("cpu_online_mask", CpuMask);
  }

  has(cpu: number): boolean {
    return this.masks.has(this.mask, cpu);
  }

  get count(): number {
    return this.masks.weight(this.mask);
  }

  bringUp(cpu: number): void {
    if (this.masks.add(this.mask, cpu)) bug(`cpu ${cpu} is brought up, but it is online`);
  }

  takeDown(cpu: number): void {
    if (!this.masks.remove(this.mask, cpu)) bug(`cpu ${cpu} is taken down, but it is not online`);
  }
}
