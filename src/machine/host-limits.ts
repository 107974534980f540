/** What the host's JavaScript engine offers to a machine: tried, not guessed. */

/** Sizes of RAM that are tried, largest first; the host commits only what is touched. */
const SIZES_BYTES = [8, 4, 2, 1, 0.5, 0.25].map((gib) => gib * 2 ** 30);

/** The largest of 8 GiB, 4 GiB … 256 MiB that one shared buffer can have; 0 when not even the smallest. */
export function largestSharedBuffer(): number {
  return SIZES_BYTES.find(canShare) ?? 0;
}

function canShare(bytes: number): boolean {
  try {
    return new SharedArrayBuffer(bytes).byteLength === bytes;
  } catch {
    return false;
  }
}

/** Whether waiting CPUs can tell the processor so (Node 24 and newer). */
export const hasAtomicsPause = (): boolean => typeof (Atomics as { pause?: unknown }).pause === "function";
