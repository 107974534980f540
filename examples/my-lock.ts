/**
 * A lock of one's own: test-and-set that waits in a growing back-off before it tries again.
 *
 *   npx smpsim bench lock --cpus 1,2,4 --compare lock=pv,./examples/my-lock.ts
 *
 * `createLock` is called once on every CPU.  A lock is two words, both 0 when it is new; this one uses the first.
 */

import type { Cpu, CustomLock, Memory } from "smpsim";

const MAX_BACK_OFF_NS = 20_000;

export function createLock(_cpu: Cpu, memory: Memory): CustomLock {
  return {
    tryLock: (word) => memory.cas(word, 0, 1) === 0,

    lock(word) {
      for (
        let backOffNs = 100;
        memory.cas(word, 0, 1) !== 0;
        backOffNs = Math.min(2 * backOffNs, MAX_BACK_OFF_NS)
      ) {
        // Sleeps while the word is 1, until whoever unlocks wakes it or the time is up.
        memory.waitWhile(word, -1, 1, backOffNs);
      }
    },

    unlock(word) {
      memory.store(word, 0);
      memory.wake(word);
    },
  };
}
