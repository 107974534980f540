/**
 * Who took and who freed an object last: two `struct track` behind it, under STORE_USER.
 *
 * A place in the code is a text, kept once in a table in RAM (the *places*), since the CPU that reports is seldom the one
 * that took the object.  An entry is found by the hash of its text; who claims an empty one by compare-exchange writes
 * the text.  Entries stay as long as the table, which the first cache with STORE_USER makes and the last one
 * ends; when it is full, further places share the last entry looked at.
 *
 * Linux: mm/slub.c struct track, set_track_update, print_track; lib/stackdepot.c.  Differs: one place, of the caller of the
 * allocator, not a whole stack.  Finding it costs microseconds of the host's time, and nothing in simulated time.
 */

import { type Cpu, TICK_NS } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import { array, float64, struct, word, wordsIn } from "../../memory/struct.ts";
import { FRAME_WORDS, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Task } from "../../sync/task.ts";
import { type CacheRef, SlabGlobals } from "./kmem-cache.ts";
import type { ObjectBytes } from "./object-bytes.ts";

/** Which of an object's two tracks.  Linux: enum track_item. */
export const TrackItem = { ALLOC: 0, FREE: 1 } as const;

const Track = struct("track", {
  /** Linux: addr, of 8 bytes; 0: nobody yet. */
  place: word("holder", "pointer:slab_place"),
  placeHigh: word("holder"),
  /** Linux: of a stack in the depot. */
  handle: word("holder"),
  cpu: word("holder"),
  pid: word("holder"),
  pad: word("holder"),
  whenNs: float64("holder"),
});
const track = Track;
const TRACK_WORDS = wordsIn(Track);

const TEXT_WORDS = 31;
const SlabPlace = struct("slab_place", { hash: word("atomic"), text: array(TEXT_WORDS, "holder", "bytes") });
const PLACE_WORDS = wordsIn(SlabPlace);
export const PLACES_ORDER = 2;
const PLACES = (FRAME_WORDS << PLACES_ORDER) / PLACE_WORDS;

/** Frames of a stack that may lie inside the allocator. */
const FRAMES = 24;
const ROOT = new URL("../../../", import.meta.url).pathname;

export class Tracks {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly bytes: ObjectBytes;
  declare private readonly globals: Pointer;

  constructor(cpu: Cpu, bytes: ObjectBytes, globals: Pointer) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.bytes = bytes;
    this.globals = globals;
  }

  /** Of an object that nobody has had.  Linux: init_tracking. */
  init(cache: CacheRef, object: Pointer): void {
    this.memory.fill(this.at(cache, object, TrackItem.ALLOC), 2 * TRACK_WORDS, 0);
  }

  /** Says that the caller of the allocator has taken or freed the object here and now.  Linux: set_track_update. */
  set(cache: CacheRef, object: Pointer, item: number): void {
    const { memory, cpu } = this;
    const at = this.at(cache, object, item);
    memory.write(at + track.place, this.place());
    memory.write(at + track.cpu, cpu.id);
    memory.write(at + track.pid, memory.read(cpu.current + Task.pid));
    memory.writeFloat64(at + track.whenNs, cpu.nowNs());
  }

  /** Lines about who took and who freed an object; ages in ticks.  Linux: print_tracking. */
  lines(cache: CacheRef, object: Pointer): string[] {
    const { memory, cpu } = this;
    const lines: string[] = [];
    for (const [item, did] of [
      [TrackItem.ALLOC, "Allocated"],
      [TrackItem.FREE, "Freed"],
    ] as const) {
      const at = this.at(cache, object, item);
      const place = memory.read(at + track.place);
      if (place === 0) continue;
      const age = Math.floor((cpu.nowNs() - memory.readFloat64(at + track.whenNs)) / TICK_NS);
      lines.push(
        `${did} in ${this.textOf(place)} age=${age} cpu=${memory.read(at + track.cpu)} pid=${memory.read(at + track.pid)}`,
      );
    }
    return lines;
  }

  private at(cache: CacheRef, object: Pointer, item: number): Pointer {
    return object + this.bytes.infoEnd(cache) / WORD_BYTES + item * TRACK_WORDS;
  }

  // ---- places ----

  /** The entry of the caller's place; the last one's when the table is full. */
  private place(): Pointer {
    const { memory } = this;
    const table = memory.read(this.globals + SlabGlobals.places);
    if (table === 0) return 0;
    const text = callerPlace();
    const hash = hashOf(text);
    let entry = table;
    for (let probe = 0; probe < PLACES; probe++) {
      entry = table + ((hash + probe) & (PLACES - 1)) * PLACE_WORDS;
      const seen = memory.load(entry) || memory.cas(entry, 0, hash);
      if (seen === hash) return entry;
      if (seen !== 0) continue;
      for (let i = 0; i < TEXT_WORDS * WORD_BYTES; i++) {
        const byte = i < text.length ? text.charCodeAt(i) & 0xff : 0;
        memory.writeByte((entry + SlabPlace.text) * WORD_BYTES + i, byte);
      }
      return entry;
    }
    return entry;
  }

  private textOf(entry: Pointer): string {
    const { memory } = this;
    let text = "";
    for (let i = 0; i < TEXT_WORDS * WORD_BYTES; i++) {
      const code = memory.readByte((entry + SlabPlace.text) * WORD_BYTES + i);
      if (code === 0) break;
      text += String.fromCharCode(code);
    }
    return text;
  }
}

/** FNV-1a, 32 bits, never 0. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 1;
}

/** The function and line that called the allocator: the first outside this folder.  Linux: _RET_IP_. */
function callerPlace(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const { stack = "" } = new Error("who calls");
  Error.stackTraceLimit = limit;
  for (const line of stack.split("\n")) {
    const match = /^\s*at (?:(?:new |async )?(.*?) \()?(?:file:\/\/)?(.*?):(\d+):\d+\)?$/.exec(line);
    if (match === null || /[/\\]mm[/\\]slab[/\\]/.test(match[2])) continue;
    const [path] = match[2].split("?");
    const file = path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
    return `${match[1] ?? "?"} (${file.slice(-80)}:${match[3]})`.slice(-TEXT_WORDS * WORD_BYTES);
  }
  return "?";
}
