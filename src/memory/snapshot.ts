/**
 * A snapshot of a machine at rest, and the way back.
 *
 * Only frames that are not all zero are kept, in a buffer of RAM's size that the host commits as it is written.  Coming
 * back compares and copies the frames that differ, so it costs what was dirtied plus one look at each frame.  (Explore
 * mode knows its dirty frames and needs no look: schedule/explore/dirty-pages.)
 */

import { bug } from "./bug.ts";
import { PAGE_BYTES } from "./units.ts";

/** Frames looked at in one comparison: most of RAM is equal, and long comparisons are cheap. */
const SPAN_BYTES = 64 * PAGE_BYTES;

export class Snapshot {
  private readonly saved: SharedArrayBuffer;
  private readonly savedStates: Uint8Array;
  /** Frames that hold anything. */
  readonly frames: number;

  /** Takes the state of `ram` and of the CPUs' `states`; no program may be in flight. */
  constructor(ram: SharedArrayBuffer, states: SharedArrayBuffer) {
    this.saved = new SharedArrayBuffer(ram.byteLength);
    this.savedStates = new Uint8Array(states).slice();
    this.frames = copyDifferent(ram, this.saved);
  }

  /** Puts everything back; returns the number of frames that had changed. */
  restore(ram: SharedArrayBuffer, states: SharedArrayBuffer): number {
    if (ram.byteLength !== this.saved.byteLength || states.byteLength !== this.savedStates.length) {
      bug(`snapshot of ${this.saved.byteLength} bytes of RAM does not fit a machine of ${ram.byteLength}`);
    }
    new Uint8Array(states).set(this.savedStates);
    return copyDifferent(this.saved, ram);
  }
}

/** Copies the frames of `from` that differ in `to`; returns how many. */
function copyDifferent(from: SharedArrayBuffer, to: SharedArrayBuffer): number {
  let copied = 0;
  for (let at = 0; at < from.byteLength; at += SPAN_BYTES) {
    const bytes = Math.min(SPAN_BYTES, from.byteLength - at);
    if (Buffer.from(from, at, bytes).equals(Buffer.from(to, at, bytes))) continue;
    for (let frame = at; frame < at + bytes; frame += PAGE_BYTES) {
      const source = Buffer.from(from, frame, PAGE_BYTES);
      const target = Buffer.from(to, frame, PAGE_BYTES);
      if (source.equals(target)) continue;
      source.copy(target);
      copied++;
    }
  }
  return copied;
}
