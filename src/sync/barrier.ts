/**
 * Barriers: a number of tasks meet, then all go on.  A barrier may be used again at once: the generation tells the
 * meetings apart.
 *
 * Invariant at rest: `arrived` is 0.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";

export const Barrier = struct("barrier", {
  parties: word("boot", "counter"),
  arrived: word("atomic", "counter"),
  generation: word("atomic", "counter"),
  pad: word("boot"),
});
const barrier = Barrier;

export class Barriers {
  private readonly cpu: Cpu;
  private readonly memory: Memory;

  constructor(cpu: Cpu) {
    this.cpu = cpu;
    this.memory = cpu.memory;
  }

  /** Makes the words at `at` a barrier for `parties` tasks. */
  format(at: Pointer, parties: number): void {
    if (parties < 1) bug(`barrier at word ${at}: ${parties} parties`);
    this.memory.write(at + barrier.parties, parties);
    this.memory.store(at + barrier.arrived, 0);
    this.memory.store(at + barrier.generation, 0);
  }

  /** Waits until all have arrived; true for exactly one of them, the last.  @may-sleep */
  wait(at: Pointer): boolean {
    const { memory, cpu } = this;
    cpu.mightSleep("barrier wait");
    const generation = memory.load(at + barrier.generation);
    const arrived = memory.add(at + barrier.arrived, 1) + 1;
    const parties = memory.read(at + barrier.parties);
    if (arrived > parties) bug(`barrier at word ${at}: ${arrived} tasks at a barrier for ${parties}`);
    if (arrived === parties) {
      // The count first: whoever sees the new generation may arrive again.
      memory.store(at + barrier.arrived, 0);
      memory.store(at + barrier.generation, (generation + 1) | 0);
      memory.wake(at + barrier.generation);
      return true;
    }
    cpu.beforeSleep();
    memory.waitWhile(at + barrier.generation, -1, generation);
    return false;
  }

  check(at: Pointer): void {
    const arrived = this.memory.read(at + barrier.arrived);
    if (arrived !== 0) bug(`barrier at word ${at}: ${arrived} tasks wait at rest`);
  }
}
