/**
 * `page.slab.counters`: the word of a slab that several CPUs change, always by one compare-exchange.
 *
 *   legend:  (head, inuse, frozen)   head: 1 + index of the first free object, 0 none
 *
 *     new slab           -> 1, 0, 0
 *     take the list      h, i, * -> 0, all, h != 0       a CPU makes it its own, or gives it up when there is nothing
 *     free one           h, i, f -> o, i - 1, f          by any CPU
 *     give up            h, i, 1 -> own list + h, i - own, 0
 *
 * Frozen means: a CPU allocates from this slab, and nobody else puts it on a list.  While it is frozen `inuse` counts
 * the objects on that CPU's own list as used.
 *
 * A list that was taken and rebuilt in between may look the same to a compare-exchange that began before; that is
 * harmless, for what such a one writes depends on nothing but the word that it finds.
 *
 * Linux: struct slab's freelist and counters, one double word.  Differs: one word, an index in place of a pointer.
 */

const INUSE = 0x7fff;
export const FROZEN = 0x8000;
const HEAD_SHIFT = 16;
/** Objects of a slab at most. */
export const MAX_OBJECTS = INUSE;

export const slabWord = (head: number, inuse: number, frozen: boolean): number =>
  (head << HEAD_SHIFT) | inuse | (frozen ? FROZEN : 0);
/** 1 + index of the first free object; 0 none. */
export const headOf = (word: number): number => word >>> HEAD_SHIFT;
export const inuseOf = (word: number): number => word & INUSE;
export const isFrozen = (word: number): boolean => (word & FROZEN) !== 0;
