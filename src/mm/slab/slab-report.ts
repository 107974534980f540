/**
 * What SLUB says of a damaged object: which cache, what is wrong, who took and freed it, and its bytes.  In the words and
 * the shape of Linux's reports; an address is the physical byte address.
 *
 * Linux: mm/slub.c slab_bug, object_err, slab_err, slab_fix, print_trailer, restore_bytes; kernel/panic.c print_tainted.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { readName } from "./cache-record.ts";
import { type CacheRef, KmemCache, SlabGlobals } from "./kmem-cache.ts";
import type { ObjectBytes } from "./object-bytes.ts";
import { SlabFlag } from "./slab-flags.ts";
import type { SlabPages } from "./slab-pages.ts";
import type { Tracks } from "./slab-track.ts";
import { headOf, inuseOf } from "./slab-word.ts";

const cacheField = KmemCache;
const slabField = SlabPage;
const LINE = 77;
/** "Bad page" of the 19 letters that say how a kernel is tainted. */
const TAINTED = "Tainted: G    B             ";
const BYTES_A_LINE = 16;

export interface ReportParts {
  readonly bytes: ObjectBytes;
  readonly tracks: Tracks;
  readonly slabs: SlabPages;
  readonly globals: Pointer;
  readonly report: (text: string) => void;
  /** A report stops the machine. */
  readonly panics: boolean;
}

export const hex = (byteAddress: number): string => `0x${byteAddress.toString(16).padStart(8, "0")}`;
export const hexOf = (object: Pointer): string => hex(object * WORD_BYTES);

export class SlabReports {
  declare private readonly memory: Memory;
  declare private readonly parts: ReportParts;
  /** Reports of this CPU since the validation that it runs began. */
  made = 0;

  constructor(parts: ReportParts) {
    this.memory = parts.bytes.memory;
    this.parts = parts;
  }

  /** A report about an object.  Linux: object_err. */
  objectError(cache: CacheRef, slab: PageRef, object: Pointer, what: string): void {
    const title = this.begin(cache, what);
    this.trailer(cache, slab, object);
    this.end(title);
  }

  /** A report about a slab.  Linux: slab_err. */
  slabError(cache: CacheRef, slab: PageRef, what: string): void {
    const title = this.begin(cache, what);
    this.print(this.slabLine(cache, slab));
    this.end(title);
  }

  /** The first lines of a report, which `end` must end; its title.  Linux: slab_bug. */
  begin(cache: CacheRef, what: string): string {
    const tainted = this.memory.load(this.parts.globals + SlabGlobals.taint) !== 0;
    const title = `BUG ${readName(this.memory, cache)} (${tainted ? TAINTED : "Not tainted"}): ${what}`;
    this.print("=".repeat(LINE));
    this.print(title);
    this.print("-".repeat(LINE));
    this.print("");
    return title;
  }

  /** The machine goes on, tainted, or stops. */
  end(title: string): void {
    this.made++;
    this.memory.store(this.parts.globals + SlabGlobals.taint, 1);
    if (this.parts.panics) bug(`${title}: slabPanic is on`);
  }

  /** Linux: slab_fix. */
  fix(cache: CacheRef, what: string): void {
    this.print(`FIX ${readName(this.memory, cache)}: ${what}`);
  }

  warn(text: string): void {
    this.print(text);
  }

  /** Linux: print_section. */
  section(name: string, byteAddress: number, count: number): void {
    for (let done = 0; done < count; done += BYTES_A_LINE) {
      const codes = Array.from({ length: Math.min(BYTES_A_LINE, count - done) }, (_, i) =>
        this.memory.readByte(byteAddress + done + i),
      );
      const digits = codes.map((code) => code.toString(16).padStart(2, "0")).join(" ");
      const text = codes.map((code) => (code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "."));
      this.print(
        `${name.padEnd(9)}${hex(byteAddress + done).slice(2)}: ${digits.padEnd(3 * BYTES_A_LINE)} ${text.join("")}`,
      );
    }
  }

  /** Who took and freed the object.  Linux: print_tracking. */
  tracking(cache: CacheRef, object: Pointer): void {
    const { bytes, tracks } = this.parts;
    if (!bytes.has(cache, SlabFlag.STORE_USER)) return;
    for (const line of tracks.lines(cache, object)) this.print(line);
  }

  /** Everything about an object.  Linux: print_trailer. */
  trailer(cache: CacheRef, slab: PageRef, object: Pointer): void {
    const { memory } = this;
    const { bytes, slabs } = this.parts;
    const isRed = bytes.has(cache, SlabFlag.RED_ZONE);
    const base = slabs.baseOf(slab) * WORD_BYTES;
    const start = object * WORD_BYTES;
    const objectSize = memory.read(cache + cacheField.objectSize);
    this.tracking(cache, object);
    this.print(this.slabLine(cache, slab));
    this.print(`Object ${hex(start)} @offset=${start - base} fp=${hexOf(slabs.next(cache, object))}`);
    this.print("");
    const left = memory.read(cache + cacheField.redLeft);
    if (isRed) this.section("Redzone", start - left, left);
    else if (start > base + 16) this.section("Bytes b4", start - 16, 16);
    this.section("Object", start, Math.min(objectSize, PAGE_BYTES));
    if (isRed)
      this.section("Redzone", start + objectSize, memory.read(cache + cacheField.inuse) - objectSize);
    const from = bytes.metadataEnd(cache);
    this.section("Padding", start + from, bytes.sizeFromObject(cache) - from);
  }

  /** Linux: print_slab_info. */
  private slabLine(cache: CacheRef, slab: PageRef): string {
    const { memory } = this;
    const { slabs } = this.parts;
    const word = memory.load(slab + slabField.counters);
    const head = headOf(word);
    const left = memory.read(cache + cacheField.redLeft) / WORD_BYTES;
    const first = head === 0 ? 0 : slabs.objectAt(cache, slab, head) + left;
    return (
      `Slab ${hexOf(slab)} objects=${memory.read(slab + slabField.objects)} used=${inuseOf(word)} ` +
      `fp=${hexOf(first)} flags=${hex(memory.load(slab))}`
    );
  }

  private print(line: string): void {
    this.parts.report(line);
  }
}
