/**
 * Shared structures, declared once as data.
 *
 * `struct(name, fields)` lays fields out in words, in order, and returns a record of word offsets: a field access is
 * `memory.read(page + Page.order)`.  Everything else that needs to know a layout (reports, race reports, the leak scan,
 * guards) reads it from `layoutOf`.  A struct that means different things in different states is a base with *overlays*
 * over the same words, each chosen by the value of a tag.
 */

import { bug } from "./bug.ts";
import { shape } from "./shape.ts";
import { LINE_WORDS, type Pointer } from "./units.ts";

/**
 * Who may write a field: `boot` written once before the CPUs start; `atomic` any CPU, by marked accesses; `owner-cpu`
 * the CPU whose structure it is, with interrupts off; `lock:<name>` the holder of that lock; `rcu:<lock>` the holder,
 * while readers need only an RCU section; `holder` whoever the object is handed to, one at a time.  `hint:<guard>` is
 * written as that guard says, and read plainly by anyone who can live with a stale value (Linux: READ_ONCE).
 */
export type Guard =
  | "boot"
  | "atomic"
  | "owner-cpu"
  | "holder"
  | `lock:${string}`
  | `rcu:${string}`
  | `hint:${string}`;

/** What a field holds.  `pointer:<struct>` names what it points to. */
export type Kind =
  | "word"
  | "flags"
  | "counter"
  | "pfn"
  | "bytes"
  | "functionId"
  | "float64"
  | `pointer:${string}`;

export interface Field {
  readonly name: string;
  /** First word, from the start of the struct. */
  readonly offset: number;
  readonly words: number;
  readonly kind: Kind;
  readonly guard: Guard;
  /** The embedded struct, if the field is one (or an array of them). */
  readonly embedded: Layout | null;
}

export interface Layout {
  readonly name: string;
  readonly words: number;
  readonly fields: readonly Field[];
  /** Overlays by tag value; empty for a plain struct. */
  readonly overlays: Map<number, Layout>;
  /** Reads the tag of the object at an address; null without overlays. */
  tagAt: ((read: (address: Pointer) => number, address: Pointer) => number) | null;
}

export interface FieldSpec {
  readonly words: number;
  readonly kind: Kind;
  readonly guard: Guard;
  readonly align: number;
  readonly embedded: Layout | null;
}

export type Offsets<F> = { readonly [K in keyof F]: number };

const layouts = new WeakMap<object, Layout>();

/** One word. */
export const word = (guard: Guard, kind: Kind = "word"): FieldSpec => spec(1, kind, guard, 1);
/** `count` words. */
export const array = (count: number, guard: Guard, kind: Kind = "word"): FieldSpec =>
  spec(count, kind, guard, 1);
/** A float64: two words at an even offset.  For counters that only their owner writes. */
export const float64 = (guard: Guard, count = 1): FieldSpec => spec(2 * count, "float64", guard, 2);
/** Room up to the next multiple of `words` (16 = a cache line), so that what follows shares no line with what precedes. */
export const align = (words: number): FieldSpec => spec(0, "word", "boot", words);
/** Where parts of the kernel's structures in RAM begin: on lines of their own, or without padding at any even word. */
export const PAD_WORDS = shape.padding ? LINE_WORDS : 2;
/** Room up to the next cache line, which the shape may leave out.  Linux: CACHELINE_PADDING, ____cacheline_aligned. */
export const pad = (): FieldSpec => align(PAD_WORDS);
/** `count` embedded structs; the guard is for the fields that declare none themselves. */
export function embed(inner: object, guard: Guard, count = 1): FieldSpec {
  const layout = layoutOf(inner);
  return { ...spec(layout.words * count, "word", guard, 2), embedded: layout };
}

function spec(words: number, kind: Kind, guard: Guard, alignment: number): FieldSpec {
  return { words, kind, guard, align: alignment, embedded: null };
}

/** Declares a struct; returns its field offsets in words. */
export function struct<F extends Record<string, FieldSpec>>(name: string, specs: F): Offsets<F> {
  return declare(name, specs, 0);
}

/** Declares the meaning of `base`'s words from `startWord` on while its tag is `tag`; returns offsets from the object's start. */
export function overlay<F extends Record<string, FieldSpec>>(
  base: object,
  options: { name: string; tag: number; startWord: number },
  specs: F,
): Offsets<F> {
  const layout = layoutOf(base);
  const offsets = declare(`${layout.name}.${options.name}`, specs, options.startWord);
  const top = wordsIn(offsets);
  if (top > layout.words)
    bug(`overlay ${layout.name}.${options.name} ends at word ${top}, past ${layout.words}`);
  if (layout.overlays.has(options.tag)) bug(`struct ${layout.name} has two overlays for tag ${options.tag}`);
  layout.overlays.set(options.tag, layoutOf(offsets));
  return offsets;
}

/** Says how the tag of an object of `base` is read, so that its overlays can be told apart. */
export function chooseOverlayBy(base: object, tagAt: NonNullable<Layout["tagAt"]>): void {
  layoutOf(base).tagAt = tagAt;
}

/** The layout behind a record of offsets. */
export function layoutOf(offsets: object): Layout {
  return layouts.get(offsets) ?? bug("layoutOf: not a declared struct");
}

/** Size of a struct in words. */
export function wordsIn(offsets: object): number {
  return layoutOf(offsets).words;
}

function declare<F extends Record<string, FieldSpec>>(name: string, specs: F, startWord: number): Offsets<F> {
  const offsets = new Map<string, number>();
  const fields: Field[] = [];
  let at = startWord;
  for (const [field, s] of Object.entries(specs)) {
    at = Math.ceil(at / s.align) * s.align;
    offsets.set(field, at);
    if (s.words > 0) {
      fields.push({
        name: field,
        offset: at,
        words: s.words,
        kind: s.kind,
        guard: s.guard,
        embedded: s.embedded,
      });
    }
    at += s.words;
  }
  // Filled property by property, an object of more than a dozen becomes a hash table, and V8 folds no offset of it.
  const result = Object.freeze(Object.fromEntries(offsets)) as Offsets<F>;
  layouts.set(result, { name, words: at, fields, overlays: new Map(), tagAt: null });
  return result;
}
