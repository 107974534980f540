/** The buffers that exploration needs beside the machine's own.  Apart, so that other modes load no more of it. */

import { type ExploreBuffers, MAX_TAPE_ENTRIES } from "./state.ts";

/** The buffers of an exploration on a machine of `ramBytes` with `statesBytes` of CPU state. */
export function createExploreBuffers(ramBytes: number, statesBytes: number): ExploreBuffers {
  const frames = Math.ceil(ramBytes / 4096);
  return {
    tape: new SharedArrayBuffer(MAX_TAPE_ENTRIES * 8),
    replay: new SharedArrayBuffer(MAX_TAPE_ENTRIES * 8),
    dirty: new SharedArrayBuffer(frames),
    dirtyList: new SharedArrayBuffer(frames * 4),
    saved: new SharedArrayBuffer(ramBytes + statesBytes),
  };
}
