/** A writer changes two words under a sequence lock; a reader that was disturbed must notice and read again. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { LockClass } from "../sync/lock-class.ts";
import { SeqLock } from "../sync/seqlock.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "seqlock-torn",
  summary: "a reader under a sequence lock must never use one half of a write",
  cpus: 2,
  mutants: ["seqlock-reads-odd"],
};

const Pair = struct("pair", {
  lock: embed(SeqLock, "atomic"),
  low: word("atomic", "counter"),
  high: word("atomic", "counter"),
});
const pair = Pair;
const TIMES = 2;

export function setup({ pages, seqlocks }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  seqlocks.format(at + pair.lock, LockClass.TEST_A);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("pair", at, Pair);
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  for (let i = 0; i < TIMES; i++) {
    if (kernel.cpu.id === 0) change(kernel, at);
    else look(kernel, at);
    kernel.cpu.endOperation();
  }
}

function change({ memory, seqlocks }: Kernel, at: Pointer): void {
  seqlocks.writeLock(at + pair.lock);
  memory.store(at + pair.low, memory.load(at + pair.low) + 1);
  memory.store(at + pair.high, memory.load(at + pair.high) + 1);
  seqlocks.writeUnlock(at + pair.lock);
}

function look({ memory, seqlocks, cpu }: Kernel, at: Pointer): void {
  const sequence = at + pair.lock + SeqLock.sequence;
  for (;;) {
    const start = seqlocks.readBegin(sequence);
    const low = memory.load(at + pair.low);
    const high = memory.load(at + pair.high);
    if (seqlocks.readRetry(sequence, start)) continue;
    if (low !== high) bug(`cpu ${cpu.id} has read ${low} and ${high}: half of a write`);
    return;
  }
}

export function check({ memory }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const low = memory.load(at + pair.low);
  const high = memory.load(at + pair.high);
  if (low !== TIMES || high !== TIMES) bug(`the pair is ${low} and ${high} after ${TIMES} writes`);
}
