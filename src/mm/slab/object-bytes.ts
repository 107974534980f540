/**
 * The bytes that debugging keeps around and inside objects, and looking for one that is not what it should be.
 *
 *   0x5a  POISON_INUSE       padding, and objects of a slab that nobody has had
 *   0x6b  POISON_FREE        a free object; its last byte is 0xa5, POISON_END
 *   0xbb  SLUB_RED_INACTIVE  red zones of a free object
 *   0xcc  SLUB_RED_ACTIVE    red zones of one in use
 *
 * Linux: include/linux/poison.h; mm/slub.c init_object, setup_slab_debug, get_info_end; lib/string.c memchr_inv.  Addresses
 * are byte addresses where they say so: red zones begin where an object ends.
 */

import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";
import { SlabFlag } from "./slab-flags.ts";
import { PartBytes } from "./slab-layout.ts";

const cacheField = KmemCache;

export const Poison = { INUSE: 0x5a, FREE: 0x6b, END: 0xa5, RED_INACTIVE: 0xbb, RED_ACTIVE: 0xcc } as const;

/** Where bytes differ from what they should be: byte addresses, both ends included. */
export interface Fault {
  readonly first: number;
  readonly last: number;
}

export class ObjectBytes {
  declare readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  has(cache: CacheRef, flag: number): boolean {
    return (this.memory.read(cache + cacheField.flags) & flag) !== 0;
  }

  /** Whether free objects hold known bytes: not where what is in them must survive.  Linux: __OBJECT_POISON. */
  poisonsObjects(cache: CacheRef): boolean {
    return (
      this.has(cache, SlabFlag.POISON) &&
      !this.has(cache, SlabFlag.TYPESAFE_BY_RCU) &&
      this.memory.read(cache + cacheField.construct) === 0
    );
  }

  /** Whether an object keeps how many bytes of it were asked for.  Linux: slub_debug_orig_size. */
  keepsRequest(cache: CacheRef): boolean {
    return this.has(cache, SlabFlag.KMALLOC) && this.has(cache, SlabFlag.STORE_USER);
  }

  /** Whether the free pointer lies behind the object.  Linux: freeptr_outside_object. */
  isPointerOutside(cache: CacheRef): boolean {
    return this.memory.read(cache + cacheField.offset) >= this.memory.read(cache + cacheField.inuse);
  }

  /** Where in an object its tracks begin, bytes.  Linux: get_info_end. */
  infoEnd(cache: CacheRef): number {
    return (
      this.memory.read(cache + cacheField.inuse) + (this.isPointerOutside(cache) ? PartBytes.POINTER : 0)
    );
  }

  /** Where in an object its last padding begins, bytes. */
  metadataEnd(cache: CacheRef): number {
    const tracks = this.has(cache, SlabFlag.STORE_USER) ? 2 * PartBytes.TRACK : 0;
    return this.infoEnd(cache) + tracks + (this.keepsRequest(cache) ? PartBytes.REQUEST : 0);
  }

  /** From an object to the left red zone of the next, bytes.  Linux: size_from_object. */
  sizeFromObject(cache: CacheRef): number {
    return this.memory.read(cache + cacheField.size) - this.memory.read(cache + cacheField.redLeft);
  }

  // ---- what was asked for ----

  /** Bytes that were asked for of an object in use.  Linux: get_orig_size. */
  requestOf(cache: CacheRef, object: Pointer): number {
    const at = object + (this.infoEnd(cache) + 2 * PartBytes.TRACK) / WORD_BYTES;
    return this.memory.read(at);
  }

  setRequest(cache: CacheRef, object: Pointer, bytes: number): void {
    const at = object + (this.infoEnd(cache) + 2 * PartBytes.TRACK) / WORD_BYTES;
    this.memory.write(at, bytes);
  }

  /**
   * Of an object in use only the first `bytes` were asked for: nobody may write those behind.  The red zone comes first,
   * since others may look.  Linux: set_orig_size, init_object.
   */
  narrowRequest(cache: CacheRef, object: Pointer, bytes: number): void {
    if (!this.keepsRequest(cache)) return;
    const rest = this.memory.read(cache + cacheField.objectSize) - bytes;
    if (this.has(cache, SlabFlag.RED_ZONE)) this.fill(object * WORD_BYTES + bytes, rest, Poison.RED_ACTIVE);
    this.setRequest(cache, object, bytes);
  }

  /** The user of an object may have all of it.  Linux: skip_orig_size_check. */
  widenRequest(cache: CacheRef, object: Pointer): void {
    if (this.keepsRequest(cache))
      this.setRequest(cache, object, this.memory.read(cache + cacheField.objectSize));
  }

  // ---- writing ----

  /** Fills the pages of a new slab.  Linux: setup_slab_debug. */
  initSlab(cache: CacheRef, base: Pointer, pages: number): void {
    if (this.has(cache, SlabFlag.POISON)) this.fill(base * WORD_BYTES, pages * PAGE_BYTES, Poison.INUSE);
  }

  /** Writes red zones and poison of an object that is given out or freed.  Linux: init_object. */
  initObject(cache: CacheRef, object: Pointer, red: number): void {
    const { memory } = this;
    const start = object * WORD_BYTES;
    const isRed = this.has(cache, SlabFlag.RED_ZONE);
    let bytes = memory.read(cache + cacheField.objectSize);
    if (isRed) {
      const left = memory.read(cache + cacheField.redLeft);
      this.fill(start - left, left, red);
      if (red === Poison.RED_ACTIVE && this.keepsRequest(cache)) bytes = this.requestOf(cache, object);
    }
    if (this.poisonsObjects(cache) && bytes > 0) {
      this.fill(start, bytes - 1, Poison.FREE);
      memory.writeByte(start + bytes - 1, Poison.END);
    }
    if (isRed) this.fill(start + bytes, memory.read(cache + cacheField.inuse) - bytes, red);
  }

  fill(byteAddress: number, count: number, value: number): void {
    const { memory } = this;
    const end = byteAddress + count;
    let at = byteAddress;
    for (; at < end && at % WORD_BYTES !== 0; at++) memory.writeByte(at, value);
    const words = Math.floor((end - at) / WORD_BYTES);
    if (words > 0) memory.fill(at / WORD_BYTES, words, Math.imul(value, 0x01010101));
    for (at += words * WORD_BYTES; at < end; at++) memory.writeByte(at, value);
  }

  // ---- looking ----

  /** Where `count` bytes are not all `value`; null when they are.  Linux: memchr_inv. */
  findOther(byteAddress: number, count: number, value: number): Fault | null {
    if (this.areAll(byteAddress, count, value)) return null;
    const { memory } = this;
    let first = byteAddress;
    let last = byteAddress + count - 1;
    while (memory.readByte(first) === value) first++;
    while (memory.readByte(last) === value) last--;
    return { first, last };
  }

  /** Words are compared with the ones before them: two accesses for any number. */
  private areAll(byteAddress: number, count: number, value: number): boolean {
    const { memory } = this;
    const end = byteAddress + count;
    let at = byteAddress;
    for (; at < end && at % WORD_BYTES !== 0; at++) if (memory.readByte(at) !== value) return false;
    const words = Math.floor((end - at) / WORD_BYTES);
    const first = at / WORD_BYTES;
    if (words > 0 && memory.read(first) !== Math.imul(value, 0x01010101)) return false;
    if (words > 1 && memory.compare(first, first + 1, words - 1) !== 0) return false;
    for (at += words * WORD_BYTES; at < end; at++) if (memory.readByte(at) !== value) return false;
    return true;
  }
}
