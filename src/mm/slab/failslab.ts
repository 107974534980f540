/**
 * Fault injection into object allocations: chosen requests get 0 although there is memory.
 *
 * It is part of the shape (`failslab`): without it the door to object caches has no trace of it.  What fails is decided
 * by one record in RAM, which the configuration fills at boot as Linux's boot parameter does, and a program may change.
 * Random draws are the CPU's seeded ones, so that what fails in a serial mode is repeatable.
 *
 * Linux: lib/fault-inject.c should_fail_ex, setup_fault_attr; mm/failslab.c should_failslab.  Differs: no filter by task
 * or by stack, no report of single failures, and no fail-nth; the whole machine's draws come from each CPU's own numbers.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { ImageLayout, Slot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { GfpFlag } from "../pages/gfp.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";

export interface FaultSettings {
  /** Every so many-th request that the rest lets through may fail. */
  readonly interval: number;
  /** Percent of these that do; 0, the default: injection is off. */
  readonly probability: number;
  /** Bytes that are given before anything fails. */
  readonly space: number;
  /** Failures until injection ends; -1 without end. */
  readonly times: number;
  /** Only requests that may not reclaim fail, as Linux's `ignore-gfp-wait` says by default. */
  readonly ignoreGfpReclaim: boolean;
}

export const FaultAttr = struct("fault_attr", {
  interval: word("hint:boot"),
  probability: word("hint:boot"),
  space: word("atomic"),
  times: word("atomic"),
  /** Requests since boot that got as far as the interval. */
  count: word("atomic", "counter"),
  ignoreGfpReclaim: word("hint:boot"),
  failures: word("atomic", "counter"),
  pad: word("boot"),
});

const attr = FaultAttr;
const cacheField = KmemCache;
export const NO_FAULTS: FaultSettings = {
  interval: 1,
  probability: 0,
  space: 0,
  times: 1,
  ignoreGfpReclaim: true,
};

export class Failslab {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly at: Pointer;

  constructor(cpu: Cpu, slot: Slot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.at = slot.address;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("failslab", FaultAttr);
  }

  /** Requests that have failed since boot. */
  get failures(): number {
    return this.memory.load(this.at + attr.failures);
  }

  /** Changes what fails from here on; at rest, or where a few requests more or less do not matter. */
  set(settings: Partial<FaultSettings>): void {
    const { memory, at } = this;
    const all = { ...NO_FAULTS, ...settings };
    if (!shape.failslab && all.probability > 0)
      bug("failslab: this machine has no fault injection; boot it with the setting failslab");
    memory.store(at + attr.interval, all.interval);
    memory.store(at + attr.space, all.space);
    memory.store(at + attr.times, all.times);
    memory.store(at + attr.ignoreGfpReclaim, all.ignoreGfpReclaim ? 1 : 0);
    memory.store(at + attr.count, 0);
    memory.store(at + attr.probability, all.probability);
  }

  /** Whether this request is to fail.  Linux: should_failslab, should_fail_ex. */
  shouldFail(cache: CacheRef, gfp: number): boolean {
    const { memory, at } = this;
    if (memory.load(at + attr.probability) === 0 || (gfp & GfpFlag.NOFAIL) !== 0) return false;
    if (memory.read(at + attr.ignoreGfpReclaim) !== 0 && (gfp & GfpFlag.DIRECT_RECLAIM) !== 0) return false;
    if (memory.load(at + attr.times) === 0) return false;
    const bytes = memory.read(cache + cacheField.objectSize);
    if (memory.load(at + attr.space) > bytes) {
      memory.add(at + attr.space, -bytes);
      return false;
    }
    const interval = memory.read(at + attr.interval);
    if (interval > 1 && (memory.add(at + attr.count, 1) + 1) % interval !== 0) return false;
    if (memory.read(at + attr.probability) <= this.cpu.random.below(100)) return false;
    return this.countDown();
  }

  /** One of the `times` is used up.  False when another CPU has had the last one. */
  private countDown(): boolean {
    const { memory, at } = this;
    for (;;) {
      const left = memory.load(at + attr.times);
      if (left === 0) return false;
      if (left < 0 || memory.cas(at + attr.times, left, left - 1) === left) {
        memory.add(at + attr.failures, 1);
        return true;
      }
    }
  }
}
