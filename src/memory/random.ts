/**
 * Seeded pseudo-random numbers: xoshiro128** (Blackman and Vigna, 2018), state in four words of a shared buffer so that
 * a snapshot holds it.  Seeds are spread by splitmix32, so neighbouring seeds give unrelated streams.
 */

export const RANDOM_WORDS = 4;

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/** One step of splitmix32 on `state`: the next state and a mixed output. */
export function splitmix32(state: number): { next: number; output: number } {
  const next = (state + 0x9e3779b9) | 0;
  let z = next;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return { next, output: (z ^ (z >>> 16)) | 0 };
}

export class Random {
  private readonly words: Int32Array;
  private readonly base: number;

  /** A generator whose state is `words[base .. base+3]`; call `seed` before the first draw. */
  constructor(words: Int32Array = new Int32Array(RANDOM_WORDS), base = 0) {
    this.words = words;
    this.base = base;
  }

  /** Starts the stream `stream` of `seed` (any 32-bit integers). */
  seed(seed: number, stream = 0): this {
    let state = (seed ^ Math.imul(stream + 1, 0x632be59b)) | 0;
    for (let i = 0; i < RANDOM_WORDS; i++) {
      const step = splitmix32(state);
      state = step.next;
      this.words[this.base + i] = step.output;
    }
    return this;
  }

  /** A uniform unsigned 32-bit integer. */
  next(): number {
    const { words, base } = this;
    const s1 = words[base + 1];
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9);
    const s2 = words[base + 2] ^ words[base];
    const s3 = words[base + 3] ^ s1;
    words[base + 1] = s1 ^ s2;
    words[base] ^= s3;
    words[base + 2] = s2 ^ (s1 << 9);
    words[base + 3] = rotate(s3, 11);
    return result >>> 0;
  }

  /** A uniform integer in [0, bound), 1 <= bound <= 2^32 (multiply-shift; bias below bound / 2^32). */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound);
  }
}
