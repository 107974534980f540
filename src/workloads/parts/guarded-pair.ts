/**
 * Two words that always change together: what a lock guards in the lock workloads.
 *
 * Inside a section the first word is changed before the busy time and the second after it, so whoever gets in between
 * sees them differ.  The counts add up at the end: a lost update shows as a sum that is too small.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import type { BusyLoop } from "./busy-loop.ts";

export class GuardedPair {
  private readonly memory: Memory;
  private readonly busy: BusyLoop;
  private readonly first: Pointer;
  private readonly second: Pointer;
  private readonly holdLinks: number;

  constructor(memory: Memory, busy: BusyLoop, words: Pointer, holdLinks: number) {
    this.memory = memory;
    this.busy = busy;
    this.first = words;
    this.second = words + 1;
    this.holdLinks = holdLinks;
  }

  /** One section that writes.  Plain accesses: the lock orders them. */
  update(): void {
    const { memory } = this;
    const count = memory.read(this.first);
    const behind = memory.read(this.second);
    if (count !== behind) bug(`two CPUs are in the section: its words are ${count} and ${behind}`);
    memory.write(this.first, (count + 1) | 0);
    this.busy.spin(this.holdLinks);
    memory.write(this.second, (behind + 1) | 0);
  }

  /** One section that reads. */
  look(): void {
    const difference = this.difference();
    if (difference !== 0) bug(`a reader is in the section with a writer: its words differ by ${difference}`);
  }

  /** What a sequence reader does; it may see a writer's work in part, and then reads again. */
  difference(): number {
    const before = this.memory.load(this.first);
    this.busy.spin(this.holdLinks);
    return (this.memory.load(this.second) - before) | 0;
  }
}
