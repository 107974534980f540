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
  /** For example `mem_map[262].buddy.next` or `zone Normal.lock.value`. */
  readonly text: string;
}

export class Regions {
  private readonly sorted: Region[] = [];

  /** Registers `count` elements of `offsets`' struct from `start`, each `stride` words. */
  add(name: string, start: Pointer, offsets: object, count = 1, stride = layoutOf(offsets).words): void {
    const region = { name, start, stride, count, layout: layoutOf(offsets) };
    const at = this.sorted.findIndex((r) => r.start > start);
    this.sorted.splice(at < 0 ? this.sorted.length : at, 0, region);
  }

  get all(): readonly Region[] {
    return this.sorted;
  }

  /** The struct and field at `address`, or null where nothing is registered. */
  find(address: Pointer, read: (address: Pointer) => number): Place | null {
    const region = this.regionOf(address);
    if (region === null) return null;
    const index = Math.floor((address - region.start) / region.stride);
    const object = region.start + index * region.stride;
    const layout = region.layout;
    const overlay = layout.tagAt ? layout.overlays.get(layout.tagAt(read, object)) : undefined;
    const named = fieldAt(layout, address - object) ?? (overlay && fieldAt(overlay, address - object));
    const where = region.count > 1 ? `${region.name}[${index}]` : region.name;
    return {
      region,
      index,
      object,
      layout: overlay ?? layout,
      field: named?.field ?? null,
      text: `${where}.${named?.text ?? `+${address - object}`}`,
    };
  }

  /** A readable name of `address`. */
  describe(address: Pointer, read: (address: Pointer) => number): string {
    return this.find(address, read)?.text ?? `ram+0x${(address * 4).toString(16)}`;
  }

  private regionOf(address: Pointer): Region | null {
    for (let i = this.sorted.length - 1; i >= 0; i--) {
      const r = this.sorted[i];
      if (r.start <= address && address < r.start + r.stride * r.count) return r;
    }
    return null;
  }
}

function fieldAt(layout: Layout, offset: number): { field: Field; text: string } | null {
  for (const field of layout.fields) {
    if (offset < field.offset || offset >= field.offset + field.words) continue;
    const within = offset - field.offset;
    if (field.embedded) {
      const inner = field.embedded;
      const index = Math.floor(within / inner.words);
      const rest = fieldAt(inner, within - index * inner.words);
      const name = field.words > inner.words ? `${field.name}[${index}]` : field.name;
      return rest ? { field: rest.field, text: `${name}.${rest.text}` } : { field, text: name };
    }
    return {
      field,
      text: field.words > (field.kind === "float64" ? 2 : 1) ? `${field.name}[${within}]` : field.name,
    };
  }
  return null;
}
