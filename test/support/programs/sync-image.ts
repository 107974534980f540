/** The static area that lock programs declare for themselves, the same on every CPU. */

import type { Kernel } from "../../../src/machine/kernel.ts";
import { ImageLayout } from "../../../src/memory/image.ts";
import { alignUp, type Pointer } from "../../../src/memory/units.ts";
import { type SpinLockSlots, SpinLocks } from "../../../src/sync/spinlock.ts";

const IMAGE_AT = 8192;

export interface SyncImage {
  readonly image: ImageLayout;
  readonly slots: SpinLockSlots;
  /** Words that are the program's own. */
  readonly data: Pointer;
}

/** Declares the lock engine's structures, and what `more` adds; `words` for the program's own data follow. */
export function syncImage<T>(kernel: Kernel, more: (image: ImageLayout) => T): SyncImage & { more: T } {
  const image = new ImageLayout();
  const slots = SpinLocks.declare(image, kernel.cpus);
  const added = more(image);
  const perCpuStart = IMAGE_AT + alignUp(image.staticWords, 1024);
  const unitWords = alignUp(image.perCpuWords, 1024);
  image.bind({ staticStart: IMAGE_AT, perCpuStart, unitWords });
  return { image, slots, data: perCpuStart + kernel.cpus * unitWords, more: added };
}
