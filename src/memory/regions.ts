/**
 * What lies where: names an address by region, struct and field.
 *
 * Each worker registers the same regions when it attaches; reports ask `describe(address)`.
 */

import { type Field, type Layout, layoutOf } from "./struct.ts";
import type { Pointer } from "./units.ts";

export interface Region {
  readonly name: string;
  readonly start: Pointer;
  /** Words of one element. */
  readonly stride: number;
  readonly count: number;
  readonly layout: Layout;
}

export interface Place {
  readonly region: Region;
  readonly index: number;
  /** Start of the element. */
  readonly object: Pointer;
  readonly layout: Layout;
  readonly field: Field | null;
  /** Within the object, for example `lock.value` or `buddy.next`; `+12` where no field is declared. */
  readonly path: string;
  /** The innermost struct that the field belongs to, and the path to it: "" for the object itself. */
  readonly part: Layout;
  readonly partPath: string;
  /** For example `mem_map[262].buddy.next` or `zone[2].lock.value`. */
  readonly text: string;
}

export class Regions {
  /** Registers the kernel's own regions; done when somebody first asks, since most CPUs never do. */
  private pending: ((regions: Regions) => void) | null = null;
  private own: Region[] = [];
  private programs: Region[] = [];
  /** All, by start; null when regions have come or gone since. */
  private order: Region[] | null = null;
  /** For each of them the farthest end of it and those before, so that a search knows when to stop. */
  private ends: Pointer[] = [];

  /** The kernel's own regions: `register` adds them, once, when they are asked for. */
  addLater(register: (regions: Regions) => void): void {
    this.pending = register;
    this.order = null;
  }

  /** Registers `count` elements of `offsets`' struct from `start`, each `stride` words. */
  add(name: string, start: Pointer, offsets: object, count = 1, stride = layoutOf(offsets).words): void {
    this.programs.push({ name, start, stride, count, layout: layoutOf(offsets) });
    this.order = null;
  }

  /** Drops what programs have registered: their memory is no longer theirs. */
  forgetProgram(): void {
    if (this.programs.length === 0) return;
    this.programs = [];
    this.order = null;
  }

  /** What the kernel has registered. */
  get ofKernel(): readonly Region[] {
    return this.all.length === 0 ? [] : this.own;
  }

  /** What the program has. */
  get ofProgram(): readonly Region[] {
    return this.programs;
  }

  /** By start; of equal starts the one registered last comes last. */
  get all(): readonly Region[] {
    if (this.order !== null) return this.order;
    const { pending, programs } = this;
    if (pending !== null) {
      this.pending = null;
      this.programs = [];
      pending(this);
      this.own = this.programs;
      this.programs = programs;
    }
    const order = [...this.own, ...this.programs].toSorted((a, b) => a.start - b.start);
    let farthest = 0;
    this.ends = order.map((region) => {
      farthest = Math.max(farthest, endOf(region));
      return farthest;
    });
    this.order = order;
    return order;
  }

  /** The struct and field at `address`, or null where nothing is registered. */
  find(address: Pointer, read: (address: Pointer) => number): Place | null {
    const region = this.at(address);
    if (region === null) return null;
    const index = Math.floor((address - region.start) / region.stride);
    const object = region.start + index * region.stride;
    const layout = region.layout;
    const overlay = layout.tagAt ? layout.overlays.get(layout.tagAt(read, object)) : undefined;
    const offset = address - object;
    const named = (overlay && fieldAt(overlay, offset, overlayName(overlay))) ?? fieldAt(layout, offset, "");
    const where = region.count > 1 ? `${region.name}[${index}]` : region.name;
    const path = named?.path ?? `+${offset}`;
    return {
      region,
      index,
      object,
      layout: overlay ?? layout,
      field: named?.field ?? null,
      path,
      part: named?.part ?? layout,
      partPath: named?.partPath ?? "",
      text: `${where}.${path}`,
    };
  }

  /** A readable name of `address`. */
  describe(address: Pointer, read: (address: Pointer) => number): string {
    return this.find(address, read)?.text ?? `ram+0x${(address * 4).toString(16)}`;
  }

  /** The innermost region there: of those that cover the address, the one that starts last. */
  at(address: Pointer): Region | null {
    const { all, ends } = this;
    let low = 0;
    let high = all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle].start <= address) low = middle + 1;
      else high = middle;
    }
    for (let i = low - 1; i >= 0 && ends[i] > address; i--) {
      if (address < endOf(all[i])) return all[i];
    }
    return null;
  }
}

const endOf = ({ start, stride, count }: Region): Pointer => start + stride * count;
/** "buddy" of the overlay "page.buddy". */
const overlayName = ({ name }: Layout): string => name.slice(name.lastIndexOf(".") + 1);
const joined = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

interface Named {
  readonly field: Field;
  readonly path: string;
  readonly part: Layout;
  readonly partPath: string;
}

/** The field at word `offset` of `layout`, which lies at `partPath` of the object. */
function fieldAt(layout: Layout, offset: number, partPath: string): Named | null {
  for (const field of layout.fields) {
    if (offset < field.offset || offset >= field.offset + field.words) continue;
    const within = offset - field.offset;
    const path = joined(partPath, field.name);
    const named = { field, part: layout, partPath };
    if (field.embedded) {
      const inner = field.embedded;
      const index = Math.floor(within / inner.words);
      const innerPath = field.words > inner.words ? `${path}[${index}]` : path;
      return fieldAt(inner, within - index * inner.words, innerPath) ?? { ...named, path: innerPath };
    }
    const isArray = field.words > (field.kind === "float64" ? 2 : 1);
    return { ...named, path: isArray ? `${path}[${within}]` : path };
  }
  return null;
}
