/** What locks had to say about a run. */

import type { Pointer } from "../memory/units.ts";
import { sumLockStats } from "../sync/lock-stat.ts";
import type { Kernel } from "./kernel.ts";
import type { LockResult } from "./program.ts";

/** Statistics of locks, longest waits first.  Looks at RAM directly: to ask costs no simulated time. */
export function lockResults(kernel: Kernel, ram: SharedArrayBuffer): LockResult[] {
  const words = new Int32Array(ram);
  const doubles = new Float64Array(ram);
  const memory = {
    read: (address: Pointer): number => words[address],
    readFloat64: (address: Pointer): number => doubles[address >> 1],
  };
  return sumLockStats(memory, kernel.image.spin, kernel.topology.possibleCpus)
    .map(({ name, acquisitions, contended, waitNs, waitMaxNs, heldNs }) => ({
      name,
      acquisitions,
      contended,
      waitNs,
      waitMaxNs,
      heldNs,
    }))
    .sort((a, b) => b.waitNs - a.waitNs);
}
