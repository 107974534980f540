/**
 * Words of one cache line, used in a way whose reason is known (option `how`): what the cache-line report must find.
 *
 * `none`: each CPU has a line of its own.  `false`: each CPU writes its own word of one line.  `true`: all write one
 * word.  `read-mostly`: CPU 0 writes one word, the others read another.  `one-writer`: CPU 0 writes, the others read it.
 * `lock`: a spinlock and what it guards.  `read`: all read, nobody writes.  `two`: all write both of two words.
 */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { array, embed, struct, word } from "../../../src/memory/struct.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";
import { SpinLock } from "../../../src/sync/spinlock-layout.ts";

const Words = struct("planted_words", { words: array(16, "atomic", "counter") });
const Guarded = struct("planted_lock", {
  lock: embed(SpinLock, "atomic"),
  value: word("lock:planted.lock", "counter"),
});

export function setup(kernel: Kernel, options: ProgramOptions): Pointer {
  const at = kernel.pages.getZeroedPage(0);
  if (options.how === "lock") kernel.spin.format(at + Guarded.lock, LockClass.TEST_A);
  return at;
}

export function attach({ regions, cpus }: Kernel, options: ProgramOptions, at: unknown): void {
  const isLock = options.how === "lock";
  regions.add("planted", at as Pointer, isLock ? Guarded : Words, isLock ? 1 : cpus);
}

export function run(kernel: Kernel, options: ProgramOptions, at: unknown): void {
  const { cpu } = kernel;
  const step = stepOf(kernel, String(options.how), at as Pointer);
  kernel.phase("share", () => {
    let done = 0;
    while (kernel.more(done)) {
      step();
      done++;
      cpu.endOperation();
    }
    return done;
  });
}

function stepOf({ memory, cpu, spin }: Kernel, how: string, at: Pointer): () => void {
  const { id } = cpu;
  switch (how) {
    case "none":
      return () => void memory.add(at + 16 * id, 1);
    case "false":
      return () => void memory.add(at + id, 1);
    case "true":
      return () => void memory.add(at, 1);
    case "read-mostly":
      return id === 0 ? () => void memory.add(at, 1) : () => void memory.load(at + 8);
    case "one-writer":
      return id === 0 ? () => void memory.add(at, 1) : () => void memory.load(at);
    case "read":
      return () => void memory.load(at);
    case "two":
      return () => {
        memory.add(at, 1);
        memory.work(11, 50);
        memory.add(at + 1, 1);
      };
    case "lock":
      return () => {
        spin.lock(at + Guarded.lock);
        memory.write(at + Guarded.value, memory.read(at + Guarded.value) + 1);
        spin.unlock(at + Guarded.lock);
      };
    default:
      throw new Error(`shared-lines: how is ${how}`);
  }
}

export function check(kernel: Kernel, _o: ProgramOptions, _v: readonly unknown[], at: unknown): void {
  kernel.pages.freePagesAt(at as Pointer, 0);
}
