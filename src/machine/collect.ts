/**
 * Asks V8 for a garbage collection.
 *
 * A halted machine's memory is a few shared buffers, which a heap does not count as its own: threads that boot one
 * machine after the other would keep all of them.  So after machines of `COLLECT_BYTES` each of their threads collects.
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Of a machine's RAM about this part is touched: page structures, simulated caches, and what programs write. */
const TOUCHED_PART = 1 / 8;
const COLLECT_BYTES = 256 * 2 ** 20;

let collector: (() => void) | null = null;
let releasedBytes = 0;

/** Counts a machine of `memoryBytes` that halts; true when it is time to collect on its threads and on this one. */
export function isTimeToCollect(memoryBytes: number): boolean {
  releasedBytes += memoryBytes * TOUCHED_PART;
  if (releasedBytes < COLLECT_BYTES) return false;
  releasedBytes = 0;
  return true;
}

/** Collects on the thread that calls: some milliseconds. */
export function collectGarbage(): void {
  if (collector === null) {
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as () => void;
  }
  collector();
}
