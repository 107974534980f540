/**
 * The snapshot that every execution starts from, restored by the list of frames written since.
 *
 * A frame's old content is saved before the first write that it ever sees; after that an execution costs one copy of
 * each frame it dirtied, whatever the size of the machine.
 */

import { bug } from "../../memory/bug.ts";
import { FRAME_WORDS } from "../../memory/units.ts";
import { type ExploreBuffers, explore } from "./state.ts";

/** Bits of a frame's flag. */
export const DIRTY = 1;
const SAVED = 2;

export class DirtyPages {
  private readonly ram: Int32Array;
  private readonly saved: Int32Array;
  /** One byte a frame; a frame whose `DIRTY` bit is clear must be noted before it is written. */
  readonly flags: Uint8Array;
  private readonly list: Int32Array;
  private readonly control: Int32Array;
  private readonly states: Int32Array;
  private readonly savedStates: Int32Array;

  constructor(parts: {
    ram: SharedArrayBuffer;
    states: SharedArrayBuffer;
    control: Int32Array;
    buffers: ExploreBuffers;
  }) {
    this.ram = new Int32Array(parts.ram);
    this.saved = new Int32Array(parts.buffers.saved, 0, this.ram.length);
    this.flags = new Uint8Array(parts.buffers.dirty);
    this.list = new Int32Array(parts.buffers.dirtyList);
    this.control = parts.control;
    this.states = new Int32Array(parts.states);
    this.savedStates = new Int32Array(parts.buffers.saved, this.ram.byteLength, this.states.length);
  }

  /** Makes the present state the one to come back to. */
  takeSnapshot(): void {
    this.flags.fill(0);
    this.control[explore.dirtyPages] = 0;
    this.savedStates.set(this.states);
  }

  /** Call before writing to `frame` while its `DIRTY` bit is clear. */
  note(frame: number): void {
    if (!(frame > 0 && frame < this.flags.length)) {
      bug(
        frame === 0
          ? "write through a null pointer"
          : `write to frame ${frame}: RAM has ${this.flags.length}`,
      );
    }
    if ((this.flags[frame] & SAVED) === 0) {
      const start = frame * FRAME_WORDS;
      this.saved.set(this.ram.subarray(start, start + FRAME_WORDS), start);
    }
    this.flags[frame] = DIRTY | SAVED;
    this.list[this.control[explore.dirtyPages]++] = frame;
  }

  /** Puts RAM and the CPUs' states back. */
  restore(): void {
    const count = this.control[explore.dirtyPages];
    for (let i = 0; i < count; i++) {
      const frame = this.list[i];
      const start = frame * FRAME_WORDS;
      this.ram.set(this.saved.subarray(start, start + FRAME_WORDS), start);
      this.flags[frame] = SAVED;
    }
    this.control[explore.dirtyPages] = 0;
    this.states.set(this.savedStates);
  }

  /** The frames written since the snapshot, in the order of their numbers. */
  dirtyFrames(): number[] {
    return Array.from(this.list.subarray(0, this.control[explore.dirtyPages])).sort((a, b) => a - b);
  }

  /** FNV-1a over the frames written since the snapshot, in the order of their numbers, and the CPUs' states. */
  hash(): number {
    let hash = 0x811c9dc5;
    for (const frame of this.dirtyFrames()) {
      hash = Math.imul(hash ^ frame, 0x01000193);
      const start = frame * FRAME_WORDS;
      for (let i = 0; i < FRAME_WORDS; i++) hash = Math.imul(hash ^ this.ram[start + i], 0x01000193);
    }
    for (const value of this.states) hash = Math.imul(hash ^ value, 0x01000193);
    return hash >>> 0;
  }

  /** The same over all of RAM, frames of zeros left out: what a program starts from. */
  hashOfAll(): number {
    let hash = 0x811c9dc5;
    for (let start = 0; start < this.ram.length; start += FRAME_WORDS) {
      let any = 0;
      for (let i = 0; i < FRAME_WORDS; i++) any |= this.ram[start + i];
      if (any === 0) continue;
      hash = Math.imul(hash ^ start, 0x01000193);
      for (let i = 0; i < FRAME_WORDS; i++) hash = Math.imul(hash ^ this.ram[start + i], 0x01000193);
    }
    return hash >>> 0;
  }
}
