/**
 * What the page allocator's work costs beyond its accesses, in cycles of simulated time.  Fitted to the published
 * curves of Linux's allocator on 1 to 26 cores (test/oracle); without meaning outside simulated time.
 */

/** One allocation and one free, outside the lock. */
export const ALLOC_WORK = 120;
export const FREE_WORK = 88;
/** One block moved from the zone to a page list, and one moved back, under the lock. */
export const REFILL_WORK = 7;
export const DRAIN_WORK = 37;
/** Freeing a block of pageblock size. */
export const LARGE_FREE_WORK = 600;
