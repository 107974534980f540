/**
 * Units of simulated memory, and the conversions between them.
 *
 * A pointer is a word index into RAM; RAM covers the whole physical address space of the machine from 0, holes included
 * (the host commits only what is touched), so a physical byte address is always `pointer * 4`.  31 bits of words reach
 * 8 GiB.  Byte addresses do not fit 32-bit shifts: they are multiplied, never shifted.
 */

/** Word index into RAM.  0 is null. */
export type Pointer = number;
/** Physical page frame number. */
export type Pfn = number & { readonly kind?: "pfn" };

export const WORD_BYTES = 4;
export const PAGE_SHIFT = 12;
export const PAGE_BYTES = 4096;
/** Words in a page frame. */
export const FRAME_WORDS = PAGE_BYTES / WORD_BYTES;
/** Words in a cache line of 64 bytes. */
export const LINE_WORDS = 16;
export const MAX_RAM_BYTES = 8 * 2 ** 30;
export const NULL: Pointer = 0;
/** "No frame": frame 0 is the null guard and is never handed out. */
export const NO_PFN: Pfn = 0;

const FRAME_SHIFT = 10;

export const pfnOf = (pointer: Pointer): Pfn => pointer >> FRAME_SHIFT;
export const frameOf = (pfn: Pfn): Pointer => pfn << FRAME_SHIFT;
export const physOf = (pointer: Pointer): number => pointer * WORD_BYTES;
export const pointerOf = (physicalAddress: number): Pointer => physicalAddress / WORD_BYTES;
export const alignUp = (value: number, step: number): number => Math.ceil(value / step) * step;
export const alignDown = (value: number, step: number): number => Math.floor(value / step) * step;
