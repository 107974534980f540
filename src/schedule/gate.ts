/**
 * The gate between the phases of a run: all CPUs that take part arrive, then all go on.  A waiting CPU answers
 * interrupts and sleeps.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { Control } from "../memory/control.ts";

/** Waits until `parties` CPUs have arrived.  `words` is the control buffer. */
export function passGate(cpu: Cpu, words: Int32Array, parties: number): void {
  const generation = Atomics.load(words, Control.gateGeneration);
  if (Atomics.add(words, Control.gateCount, 1) + 1 === parties) {
    Atomics.store(words, Control.gateCount, 0);
    Atomics.store(words, Control.gateGeneration, (generation + 1) | 0);
    for (let other = 0; other < parties; other++) if (other !== cpu.id) cpu.turn.kick(other);
    return;
  }
  while (Atomics.load(words, Control.gateGeneration) === generation) cpu.halt();
}
