/**
 * Looking at the objects and the slabs of a cache with debugging: are the bytes around an object as they were left, is a
 * free list one?  What is damaged is reported and mended as far as can be, so that the machine can go on.
 *
 * All of it runs under the list_lock of the slab's node, or on a slab that nobody else knows of.
 *
 * Linux: mm/slub.c check_bytes_and_report, check_object, check_pad_bytes, slab_pad_check, check_slab, on_freelist,
 * alloc_consistency_checks, free_consistency_checks.
 */

import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Page, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { readName } from "./cache-record.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";
import { type ObjectBytes, Poison } from "./object-bytes.ts";
import { SlabFlag } from "./slab-flags.ts";
import type { SlabPages } from "./slab-pages.ts";
import { hex, hexOf, type SlabReports } from "./slab-report.ts";
import { headOf, inuseOf, isFrozen, MAX_OBJECTS, slabWord } from "./slab-word.ts";

const cacheField = KmemCache;
const slabField = SlabPage;

/** Bytes of an object that must all be `value`. */
interface Expected {
  readonly what: string;
  readonly from: number;
  readonly count: number;
  readonly value: number;
}

export class SlabChecks {
  declare private readonly memory: Memory;
  declare private readonly bytes: ObjectBytes;
  declare private readonly slabs: SlabPages;
  declare private readonly reports: SlabReports;

  constructor(parts: { bytes: ObjectBytes; slabs: SlabPages; reports: SlabReports }) {
    this.memory = parts.bytes.memory;
    this.bytes = parts.bytes;
    this.slabs = parts.slabs;
    this.reports = parts.reports;
  }

  // ---- objects ----

  /** First object of a slab. */
  firstOf(cache: CacheRef, slab: PageRef): Pointer {
    return this.slabs.baseOf(slab) + this.memory.read(cache + cacheField.redLeft) / WORD_BYTES;
  }

  /** Every object of a slab, in order.  Linux: for_each_object. */
  *objectsOf(cache: CacheRef, slab: PageRef): Generator<Pointer> {
    const words = this.memory.read(cache + cacheField.size) / WORD_BYTES;
    const first = this.firstOf(cache, slab);
    for (let i = 0; i < this.memory.read(slab + slabField.objects); i++) yield first + i * words;
  }

  /** The place of an object in a slab word; 0 for none.  The object is a valid one. */
  headFor(cache: CacheRef, slab: PageRef, object: Pointer): number {
    if (object === 0) return 0;
    const words = this.memory.read(cache + cacheField.size) / WORD_BYTES;
    return (object - this.firstOf(cache, slab)) / words + 1;
  }

  objectAt(cache: CacheRef, slab: PageRef, head: number): Pointer {
    if (head === 0) return 0;
    return this.firstOf(cache, slab) + ((head - 1) * this.memory.read(cache + cacheField.size)) / WORD_BYTES;
  }

  /** Whether an object of the slab begins there; 0 is valid, it ends a list.  Linux: check_valid_pointer. */
  isValid(cache: CacheRef, slab: PageRef, object: Pointer): boolean {
    if (object === 0) return true;
    const words = this.memory.read(cache + cacheField.size) / WORD_BYTES;
    const index = (object - this.firstOf(cache, slab)) / words;
    return Number.isInteger(index) && index >= 0 && index < this.memory.read(slab + slabField.objects);
  }

  /**
   * Whether the bytes of an object are as they were left; `red` says whether it is in use.  What is not is written anew.
   * Linux: check_object.
   */
  checkObject(cache: CacheRef, slab: PageRef, object: Pointer, red: number): boolean {
    const { bytes, reports, slabs } = this;
    let isGood = true;
    for (const expected of this.expectedOf(cache, object, red)) {
      if (!this.checkBytes(cache, slab, expected)) isGood = false;
    }
    const mayRead = bytes.isPointerOutside(cache) || red !== Poison.RED_ACTIVE;
    if (mayRead && !this.isValid(cache, slab, slabs.next(cache, object))) {
      reports.objectError(cache, slab, object, "Freepointer corrupt");
      // The rest of the free list is lost: its objects stay as if they were in use.
      slabs.setNext(cache, object, 0);
      isGood = false;
    }
    if (!isGood) reports.trailer(cache, slab, object);
    return isGood;
  }

  private *expectedOf(cache: CacheRef, object: Pointer, red: number): Generator<Expected> {
    const { memory, bytes } = this;
    const start = object * WORD_BYTES;
    const objectSize = memory.read(cache + cacheField.objectSize);
    const behind = memory.read(cache + cacheField.inuse) - objectSize;
    const hasPoison = bytes.has(cache, SlabFlag.POISON);
    if (bytes.has(cache, SlabFlag.RED_ZONE)) {
      const left = memory.read(cache + cacheField.redLeft);
      yield { what: "Left Redzone", from: start - left, count: left, value: red };
      yield { what: "Right Redzone", from: start + objectSize, count: behind, value: red };
      if (red === Poison.RED_ACTIVE && bytes.keepsRequest(cache)) {
        const asked = bytes.requestOf(cache, object);
        yield { what: "kmalloc Redzone", from: start + asked, count: objectSize - asked, value: red };
      }
    } else if (hasPoison) {
      yield { what: "Alignment padding", from: start + objectSize, count: behind, value: Poison.INUSE };
    }
    if (!hasPoison) return;
    if (red !== Poison.RED_ACTIVE && bytes.poisonsObjects(cache)) {
      yield { what: "Poison", from: start, count: objectSize - 1, value: Poison.FREE };
      yield { what: "End Poison", from: start + objectSize - 1, count: 1, value: Poison.END };
    }
    const end = bytes.metadataEnd(cache);
    const count = bytes.sizeFromObject(cache) - end;
    yield { what: "Object padding", from: start + end, count, value: Poison.INUSE };
  }

  /** Linux: check_bytes_and_report, restore_bytes. */
  private checkBytes(cache: CacheRef, slab: PageRef, { what, from, count, value }: Expected): boolean {
    const { memory, bytes, reports } = this;
    const fault = count > 0 ? bytes.findOther(from, count, value) : null;
    if (fault === null) return true;
    const { first, last } = fault;
    const title = reports.begin(cache, `${what} overwritten`);
    const offset = first - this.slabs.baseOf(slab) * WORD_BYTES;
    const [seen, wanted] = [memory.readByte(first), value].map((byte) => byte.toString(16));
    reports.warn(`${hex(first)}-${hex(last)} @offset=${offset}. First byte 0x${seen} instead of 0x${wanted}`);
    this.restore(cache, what, fault, value);
    reports.end(title);
    return false;
  }

  private restore(
    cache: CacheRef,
    what: string,
    { first, last }: { first: number; last: number },
    value: number,
  ): void {
    this.reports.fix(cache, `Restoring ${what} ${hex(first)}-${hex(last)}=0x${value.toString(16)}`);
    this.bytes.fill(first, last - first + 1, value);
  }

  // ---- slabs ----

  /** The bytes behind the last object.  Linux: slab_pad_check. */
  checkPadding(cache: CacheRef, slab: PageRef): void {
    const { memory, bytes, reports, slabs } = this;
    if (!bytes.has(cache, SlabFlag.POISON)) return;
    const end = slabs.baseOf(slab) * WORD_BYTES + this.bytesOf(slab);
    const rest = this.bytesOf(slab) % memory.read(cache + cacheField.size);
    const fault = rest > 0 ? bytes.findOther(end - rest, rest, Poison.INUSE) : null;
    if (fault === null) return;
    const { first, last } = fault;
    const offset = first - (end - rest);
    const title = reports.begin(cache, `Padding overwritten. ${hex(first)}-${hex(last)} @offset=${offset}`);
    reports.section("Padding", end - rest, rest);
    this.restore(cache, "slab padding", fault, Poison.INUSE);
    reports.end(title);
  }

  /** Whether what a slab says of itself makes sense.  Linux: check_slab. */
  checkSlab(cache: CacheRef, slab: PageRef): boolean {
    const { memory } = this;
    const word = memory.load(slab + slabField.counters);
    const objects = memory.read(slab + slabField.objects);
    const most = this.objectsIn(cache, slab);
    if (objects > most) return this.badSlab(cache, slab, `objects ${objects} > max ${most}`);
    if (inuseOf(word) > objects) return this.badSlab(cache, slab, `inuse ${inuseOf(word)} > max ${objects}`);
    if (isFrozen(word))
      return this.badSlab(cache, slab, "Slab disabled since SLUB metadata consistency check failed");
    this.checkPadding(cache, slab);
    return true;
  }

  /**
   * Whether `search` is on the slab's free list; with 0, whether the list is sound.  A list that is not is cut off, and
   * counts that do not fit it are set right.  Linux: on_freelist.
   */
  isOnFreelist(cache: CacheRef, slab: PageRef, search: Pointer): boolean {
    const { memory, reports, slabs } = this;
    let word = memory.load(slab + slabField.counters);
    let objects = memory.read(slab + slabField.objects);
    let count = 0;
    let before = 0;
    let object = this.objectAt(cache, slab, headOf(word));
    for (; object !== 0 && count <= objects; count++) {
      if (object === search) return true;
      if (!this.isValid(cache, slab, object)) {
        if (before !== 0) {
          reports.objectError(cache, slab, before, "Freechain corrupt");
          slabs.setNext(cache, before, 0);
          break;
        }
        reports.slabError(cache, slab, "Freepointer corrupt");
        memory.store(slab + slabField.counters, slabWord(0, objects, isFrozen(word)));
        reports.fix(cache, "Freelist cleared");
        return false;
      }
      before = object;
      object = slabs.next(cache, object);
    }
    const most = Math.min(this.objectsIn(cache, slab), MAX_OBJECTS);
    if (objects !== most) {
      reports.slabError(cache, slab, `Wrong number of objects. Found ${objects} but should be ${most}`);
      memory.write(slab + slabField.objects, most);
      objects = most;
      reports.fix(cache, "Number of objects adjusted");
    }
    word = memory.load(slab + slabField.counters);
    if (inuseOf(word) !== objects - count) {
      reports.slabError(
        cache,
        slab,
        `Wrong object count. Counter is ${inuseOf(word)} but counted were ${objects - count}`,
      );
      memory.store(slab + slabField.counters, slabWord(headOf(word), objects - count, isFrozen(word)));
      reports.fix(cache, "Object count adjusted");
    }
    return search === 0;
  }

  private badSlab(cache: CacheRef, slab: PageRef, what: string): false {
    this.reports.slabError(cache, slab, what);
    return false;
  }

  private bytesOf(slab: PageRef): number {
    return PAGE_BYTES << (this.memory.read(slab + Page.type) >> 8);
  }

  /** Linux: order_objects. */
  private objectsIn(cache: CacheRef, slab: PageRef): number {
    return Math.floor(this.bytesOf(slab) / this.memory.read(cache + cacheField.size));
  }

  // ---- before an object is given out, or freed ----

  /** Linux: alloc_consistency_checks. */
  mayAlloc(cache: CacheRef, slab: PageRef, object: Pointer): boolean {
    if (!this.checkSlab(cache, slab)) return false;
    if (!this.isValid(cache, slab, object)) {
      this.reports.objectError(cache, slab, object, "Freelist Pointer check fails");
      return false;
    }
    return this.checkObject(cache, slab, object, Poison.RED_INACTIVE);
  }

  /** Linux: free_consistency_checks. */
  mayFree(cache: CacheRef, slab: PageRef, object: Pointer): boolean {
    const { memory, reports } = this;
    if (object === 0 || !this.isValid(cache, slab, object))
      return this.badSlab(cache, slab, `Invalid object pointer ${hexOf(object)}`);
    if (this.isOnFreelist(cache, slab, object)) {
      reports.objectError(cache, slab, object, "Object already free");
      return false;
    }
    if (!this.checkObject(cache, slab, object, Poison.RED_ACTIVE)) return false;
    const owner = memory.read(slab + slabField.cache);
    if (owner === cache) return true;
    if (owner === 0) reports.warn(`SLUB <none>: no slab for object ${hexOf(object)}.`);
    else reports.objectError(cache, slab, object, "page slab pointer corrupt.");
    return false;
  }

  /** Linux: virt_to_cache. */
  warnNoSlab(object: Pointer): void {
    const title = `virt_to_cache: Object is not a Slab page! (${hexOf(object)})`;
    this.reports.warn(title);
    this.reports.end(title);
  }

  /** The cache of an object that was freed to another.  Linux: cache_from_obj. */
  warnWrongCache(cache: CacheRef, owner: CacheRef, object: Pointer): void {
    const { memory, reports } = this;
    const title =
      `cache_from_obj: Wrong slab cache. ${readName(memory, cache)} but object is from ` +
      readName(memory, owner);
    reports.warn(title);
    reports.tracking(owner, object);
    reports.end(title);
  }
}
