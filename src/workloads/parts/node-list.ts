/** Lists of nodes as numactl takes them. */

import { UsageError } from "../../memory/bug.ts";

/** A bit for each node of `text`: "all", "1", "0,2-3".  `nodes` is how many there are.  Throws UsageError. */
export function nodeMask(text: string, nodes: number): number {
  if (text === "all") return 2 ** nodes - 1;
  let mask = 0;
  for (const part of text.split(",")) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last >= nodes || first > last)
      throw new UsageError(
        `nodes: ${JSON.stringify(text)} is not valid; valid are all, or numbers and ranges from 0 to ${nodes - 1}, as in 0,2-3`,
      );
    for (let node = first; node <= last; node++) mask |= 1 << node;
  }
  return mask;
}
