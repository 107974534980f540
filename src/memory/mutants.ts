/**
 * Mutants: named defects in the real functions, part of a pool's shape.
 *
 * `const unlocked = mutant("buddy-free-unlocked")` at a module's top is a constant; the function then reads
 * `if (!unlocked) lock(...)`.  In explore mode `reached(NAME)` beside it records that the place was executed, so a
 * healthy campaign can show that it exercised what the mutant breaks.
 */

import { shape } from "./shape.ts";

const recording = shape.mode === "explore";
const seen = new Set<string>();

/** Whether the defect `name` is switched on in this worker. */
export function mutant(name: string): boolean {
  return shape.mutants.includes(name);
}

/** Records that the place of mutant `name` was executed.  Costs nothing outside explore mode. */
export function reached(name: string): void {
  if (recording) seen.add(name);
}

/** Begins the record anew: workers outlive a campaign. */
export function forgetReached(): void {
  seen.clear();
}

/** The mutants whose places this worker has executed so far. */
export function reachedMutants(): string[] {
  return [...seen];
}
