/**
 * Classes of work: what the kernel's code costs beyond its accesses.
 *
 * The kernel names the cause where it arises (`memory.work(Work.PAGE_FREE, 1)`); the profile of a simulated machine says
 * what it costs.  In the other modes it is nothing and folds away.
 */

export const Work = {
  /** The instructions of one allocation, from the call to the page in hand, outside any lock. */
  PAGE_ALLOC: 0,
  PAGE_FREE: 1,
  /** Moving one block between the buddy lists and a per-CPU list, under the zone's lock. */
  LIST_REFILL: 2,
  LIST_DRAIN: 3,
  /** Checking one struct page of a block that is taken, beside the accesses to it. */
  PAGE_CHECK: 4,
  /** Splitting or merging one block. */
  BUDDY_STEP: 5,
  /** Zeroing, copying one page of 4 KiB. */
  ZERO_PAGE: 6,
  COPY_PAGE: 7,
  /** Entry to and return from a system call, an exception. */
  SYSCALL: 8,
  FAULT: 9,
  CONTEXT_SWITCH: 10,
  /** One nanosecond of a workload's own computing: needs no price. */
  COMPUTE: 11,
  /** Making one tail page of a freed block ready, beside the accesses to it. */
  TAIL_PREPARE: 12,
  /** The exchange of two words of this CPU's own by one instruction without a lock prefix (cmpxchg16b). */
  PAIR_EXCHANGE: 13,
  /** Saving the interrupt flag and clearing it, and restoring it, where nothing else hides that. */
  IRQ_SAVE: 14,
} as const;

export const WORK_CLASSES = 15;
/** The classes that a profile prices. */
export const WORK_NAMES: readonly string[] = Object.keys(Work).filter((name) => name !== "COMPUTE");
