/** The two halves of a word, by their even byte addresses. */

const shiftOf = (byteAddress: number): number => (byteAddress & 2) << 3;

/** The 16 bits of `word` at `byteAddress`. */
export const halfOf = (word: number, byteAddress: number): number => (word >>> shiftOf(byteAddress)) & 0xffff;

/** `word` with `half` for those 16 bits. */
export function withHalf(word: number, byteAddress: number, half: number): number {
  const shift = shiftOf(byteAddress);
  return (word & ~(0xffff << shift)) | ((half & 0xffff) << shift);
}
