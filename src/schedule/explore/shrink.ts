/**
 * Shrinking: which shorter scripts to try.  A failing schedule from a random walk switches at every step; what a person
 * wants to read are the few switches that matter.
 *
 * Delta debugging (Zeller and Hildebrandt, 2002) over segments: large pieces first, so that most of a long script goes
 * in a few trials.  What cannot be left out may still be done earlier or later, in one go with what its CPU does then.
 */

import type { Script, Segment } from "./scripts.ts";
import { NEVER } from "./strategy.ts";

/** Scripts with fewer switches than `script`, the boldest first; at most `limit`. */
export function shorterScripts(script: Script, limit: number): Script[] {
  const found: Script[] = [];
  for (let size = script.length >> 1; size >= 1 && found.length < limit; size >>= 1) {
    for (let from = 0; from < script.length && found.length < limit; from += size) {
      const shorter = joined([...script.slice(0, from), ...script.slice(from + size)]);
      if (shorter.length > 0 && shorter.length < script.length) found.push(shorter);
    }
  }
  for (let from = 0; from < script.length && found.length < limit; from++) {
    found.push(...movedScripts(script, from).filter((moved) => moved.length < script.length));
  }
  return found.slice(0, limit);
}

/** The segment at `from` done together with the next one of its CPU: at its own place, and at the other's. */
function movedScripts(script: Script, from: number): Script[] {
  const to = script.findIndex((segment, i) => i > from && segment.cpu === script[from].cpu);
  if (to < 0) return [];
  const both = [script[from], script[to]];
  const before = script.slice(0, from);
  const between = script.slice(from + 1, to);
  const after = script.slice(to + 1);
  return [
    joined([...before, ...both, ...between, ...after]),
    joined([...before, ...between, ...both, ...after]),
  ];
}

/** Neighbours of one CPU as one segment; nothing follows a segment that runs to its end by itself, so that is kept. */
function joined(segments: readonly Segment[]): Script {
  const result: Segment[] = [];
  for (const segment of segments) {
    const last = result.at(-1);
    if (last?.cpu === segment.cpu) {
      const steps = last.steps === NEVER || segment.steps === NEVER ? NEVER : last.steps + segment.steps;
      result[result.length - 1] = { cpu: last.cpu, steps };
    } else result.push(segment);
  }
  return result;
}
