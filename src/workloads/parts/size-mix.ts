/** A distribution of sizes, as text: "16:30,64:70" is 30 of 100 of up to 16 bytes, and 70 of 17 to 64. */

import { UsageError } from "../../memory/bug.ts";
import type { Random } from "../../memory/random.ts";

/** Least size: what an owner's mark needs. */
const MIN_BYTES = 8;
const MAX_BYTES = 4 << 20;

/**
 * The mix that is used when none is given.  It is a table of our own, not a recording: small requests are by far the most
 * common, the classes between powers of two (96, 192) get their share, whole pages are rare, and one in 500 is too
 * large for a cache.
 */
export const DEFAULT_MIX =
  "8:30,16:80,32:160,64:220,96:80,128:110,192:90,256:80,512:70,1024:50,2048:18,4096:8,8192:2,65536:2";

export class SizeMix {
  private readonly bounds: readonly number[];
  /** Sums of the weights up to each bound. */
  private readonly sums: readonly number[];

  /** Throws UsageError; `where` names the option. */
  constructor(text: string, where: string) {
    const bounds: number[] = [];
    const sums: number[] = [];
    for (const part of text.split(",")) {
      const match = /^\s*(\d+):(\d+)\s*$/.exec(part);
      const [bytes, weight] = [Number(match?.[1]), Number(match?.[2])];
      const before = bounds.at(-1) ?? MIN_BYTES - 1;
      if (match === null || bytes <= before || bytes > MAX_BYTES || weight < 1 || weight > 1e6)
        throw new UsageError(
          `${where}: ${JSON.stringify(part)} is not valid; valid are bytes:weight pairs as in 16:30,64:70, ` +
            `bytes rising from ${MIN_BYTES} to ${MAX_BYTES}, weights from 1 to 1000000`,
        );
      bounds.push(bytes);
      sums.push((sums.at(-1) ?? 0) + weight);
    }
    this.bounds = bounds;
    this.sums = sums;
  }

  /** Bytes of one request. */
  draw(random: Random): number {
    const { bounds, sums } = this;
    const at = random.below(sums[sums.length - 1]);
    let i = 0;
    while (sums[i] <= at) i++;
    const least = i === 0 ? MIN_BYTES : bounds[i - 1] + 1;
    return least + random.below(bounds[i] - least + 1);
  }
}
