/** Lock engines for the CPUs of a one-thread fixture, and room for the locks of a test. */

import { ImageLayout } from "../../src/memory/image.ts";
import { alignUp } from "../../src/memory/units.ts";
import { declareSleepingLocks, type SleepingLockSlots } from "../../src/sync/sleeper.ts";
import { type SpinLockOptions, type SpinLockSlots, SpinLocks } from "../../src/sync/spinlock.ts";
import { spinLocksOf } from "../../src/sync/stepped-spinlock.ts";
import { type Solo, soloCpu } from "./solo.ts";

/** Where tests put their locks: free of everything else. */
export const LOCK_AT = 1024;
const IMAGE_AT = 4096;

export interface SoloLocks extends Solo {
  readonly slots: SpinLockSlots;
  readonly sleeping: SleepingLockSlots;
  /** One engine a CPU. */
  readonly engines: readonly SpinLocks[];
  readonly cpus: number;
}

export function soloLocks(options: SpinLockOptions & { cpus?: number; stepped?: boolean } = {}): SoloLocks {
  const { cpus = 2, stepped = false, ...lockOptions } = options;
  const solo = soloCpu({ cpus });
  const image = new ImageLayout();
  const slots = SpinLocks.declare(image, cpus);
  const sleeping = declareSleepingLocks(image);
  const perCpuStart = IMAGE_AT + alignUp(image.staticWords, 1024);
  image.bind({ staticStart: IMAGE_AT, perCpuStart, unitWords: alignUp(image.perCpuWords, 1024) });
  const engines = solo.all.map((cpu) =>
    stepped ? spinLocksOf(cpu, slots) : new SpinLocks(cpu, slots, lockOptions),
  );
  return { ...solo, slots, sleeping, engines, cpus };
}
