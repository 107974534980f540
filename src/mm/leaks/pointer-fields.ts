/** Where a declared struct holds pointers: the fields that a leak scan follows. */

import type { Layout } from "../../memory/struct.ts";

export interface PointerField {
  /** From the start of the struct. */
  readonly offset: number;
  readonly words: number;
  /** A frame's number in place of an address. */
  readonly isPfn: boolean;
}

const cache = new WeakMap<Layout, readonly PointerField[]>();

/** The pointer fields of `layout`, embedded structs included; overlays are their own layouts. */
export function pointerFields(layout: Layout): readonly PointerField[] {
  const known = cache.get(layout);
  if (known !== undefined) return known;
  const found: PointerField[] = [];
  for (const field of layout.fields) {
    const { embedded, kind, offset, words } = field;
    if (embedded !== null) {
      const inner = pointerFields(embedded);
      for (let at = 0; at + embedded.words <= words; at += embedded.words)
        for (const f of inner) found.push({ ...f, offset: offset + at + f.offset });
    } else if (kind.startsWith("pointer:") || kind === "pfn")
      found.push({ offset, words, isPfn: kind === "pfn" });
  }
  cache.set(layout, found);
  return found;
}
