/**
 * Reading and changing entries, two words each, while the MMUs of other CPUs read them and set their bits.
 *
 *   who holds the table's lock   may read plainly what only software writes; the low word is marked all the same
 *   who has no lock              reads low, high, low again
 *   install                      high first, low last
 *   clear, or take rights away   exchange or compare-exchange of the low word: the hardware's bits are not lost
 *
 * The high word of the entry that was looked at last is in `high`: to be taken before the next call.
 *
 * Linux: ptep_get_lockless, set_pte, ptep_get_and_clear, ptep_set_wrprotect, ptep_modify_prot_start/commit.
 */

import { ENTRY_WORDS, entryPfn } from "../../hardware/page-table-entry.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";

export class PteWords {
  declare private readonly memory: Memory;
  /** High word of the entry looked at last. */
  high = 0;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** The low word of an entry that somebody may be changing.  Linux: ptep_get_lockless. */
  read(at: Pointer): number {
    const { memory } = this;
    for (;;) {
      const low = memory.load(at);
      this.high = memory.read(at + 1);
      if (memory.load(at) === low) return low;
    }
  }

  /** The low word of an entry whose lock is held: only the hardware's bits change.  Linux: ptep_get. */
  get(at: Pointer): number {
    this.high = this.memory.read(at + 1);
    return this.memory.load(at);
  }

  /** The frame of an entry whose words are `low` and, here, `high`. */
  pfnOf(low: number): Pfn {
    return entryPfn(low, this.high);
  }

  /** Linux: set_pte_at. */
  set(at: Pointer, low: number, high: number): void {
    this.memory.write(at + 1, high);
    this.memory.store(at, low);
  }

  /** Clears an entry; its low word before, with the bits that hardware has set until then.  Linux: ptep_get_and_clear. */
  take(at: Pointer): number {
    const { memory } = this;
    this.high = memory.read(at + 1);
    const low = memory.exchange(at, 0);
    memory.write(at + 1, 0);
    return low;
  }

  /** Clears and sets bits of the low word; its value before.  Linux: ptep_set_wrprotect, pte_mkdirty under the lock. */
  change(at: Pointer, clear: number, add: number): number {
    const { memory } = this;
    for (let low = memory.load(at); ; ) {
      const found = memory.cas(at, low, (low & ~clear) | add);
      if (found === low) return low;
      low = found;
    }
  }

  /** The entry after `at` in the same table. */
  next(at: Pointer): Pointer {
    return at + ENTRY_WORDS;
  }
}
