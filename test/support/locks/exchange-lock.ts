/** A spinlock as a user writes it: exchange until it was free. */
import type { Cpu } from "../../../src/hardware/cpu.ts";
import type { Memory } from "../../../src/memory/memory.ts";
import type { CustomLock } from "../../../src/sync/custom-lock.ts";

export function createLock(_cpu: Cpu, memory: Memory): CustomLock {
  return {
    lock(word) {
      while (memory.exchange(word, 1) !== 0) memory.waitWhile(word, -1, 1);
    },
    tryLock(word) {
      return memory.exchange(word, 1) === 0;
    },
    unlock(word) {
      memory.store(word, 0);
      memory.wake(word);
    },
  };
}
