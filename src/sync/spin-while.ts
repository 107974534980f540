/**
 * A bounded spin of an optimistic waiter, which has other means when it does not help.
 *
 * In parallel mode it looks again and again.  In the serial modes a spin is a wait with a time limit, so who changes the
 * word calls `wakeSpinners`.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";

const serial = shape.mode !== "parallel";
/** How long a waiter hopes in the serial modes; in explore mode the strategy may end it at any time. */
const SPIN_NS = 20_000;

/** Spins while `(word & mask) === value`; true when that has ended, false when there is no use in spinning on. */
export function spinWhile(cpu: Cpu, address: Pointer, mask: number, value: number): boolean {
  const { memory, turn } = cpu;
  if (serial) return memory.waitWhile(address, mask, value, SPIN_NS);
  for (let i = turn.spinLimit; i > 0; i--) {
    if ((memory.load(address) & mask) !== value) return true;
    turn.relax();
  }
  return false;
}

/** Tells optimistic spinners that the word has changed. */
export function wakeSpinners(memory: Memory, address: Pointer): void {
  if (serial) memory.wake(address);
}
