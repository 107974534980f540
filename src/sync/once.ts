/**
 * Once: the first task runs the initialiser, the others wait until it has finished.  An initialiser that throws has not
 * run: the next task tries again.
 *
 *   NEVER --first task--> RUNNING by it --returns--> DONE
 *     ^                        |
 *     +-------- throws --------+
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";

/** All zero is one that has never run. */
export const Once = struct("once", {
  /** NEVER, DONE, or RUNNING plus the CPU that runs it. */
  state: word("atomic"),
  pad: word("boot"),
});
const once = Once;

const NEVER = 0;
const DONE = 1;
const RUNNING = 2;

export class Onces {
  private readonly cpu: Cpu;
  private readonly memory: Memory;

  constructor(cpu: Cpu) {
    this.cpu = cpu;
    this.memory = cpu.memory;
  }

  format(at: Pointer): void {
    this.memory.store(at + once.state, NEVER);
  }

  isDone(at: Pointer): boolean {
    return this.memory.load(at + once.state) === DONE;
  }

  /** Returns when `initialise` has run to its end, here or elsewhere; whether it was here.  @may-sleep */
  call(at: Pointer, initialise: () => void): boolean {
    const { memory, cpu } = this;
    if (memory.load(at + once.state) === DONE) return false;
    cpu.mightSleep("once");
    for (;;) {
      const found = memory.cas(at + once.state, NEVER, RUNNING + cpu.id);
      if (found === DONE) return false;
      if (found === NEVER) break;
      if (found === RUNNING + cpu.id)
        bug(`once at word ${at}: its initialiser calls it again on cpu ${cpu.id}`);
      cpu.beforeSleep();
      memory.waitWhile(at + once.state, -1, found);
    }
    let hasReturned = false;
    try {
      initialise();
      hasReturned = true;
    } finally {
      memory.store(at + once.state, hasReturned ? DONE : NEVER);
      memory.wake(at + once.state);
    }
    return true;
  }
}
