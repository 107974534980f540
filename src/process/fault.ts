/** A page fault on its way, and how one ends.  Linux: struct vm_fault, vm_fault_t. */

import type { MmRef, VmaRef } from "./vm-area.ts";

/**
 * RETRY: the lock that the fault held, of the VMA or mmap_lock, was given up, and all is to be looked at again; with NOWAIT it
 * is still held.  MAJOR may be added to DONE and RETRY: the page had to be read in.
 */
export const FaultOutcome = { DONE: 0, RETRY: 1, OOM: 2, SIGBUS: 3, MAJOR: 8 } as const;

/** Linux: FAULT_FLAG_ALLOW_RETRY, RETRY_NOWAIT, TRIED. */
export const FaultFlag = {
  /** Who must wait for a page may give up the fault's lock for that. */
  ALLOW_RETRY: 1,
  /** But may not wait. */
  NOWAIT: 2,
  /** It was given up once: it is not again. */
  TRIED: 4,
} as const;

/** What is asked of which page. */
export interface Fault {
  readonly mm: MmRef;
  readonly area: VmaRef;
  /** Of the page. */
  readonly address: number;
  readonly isWrite: boolean;
  /** The VMA's own lock is held, not mmap_lock. */
  readonly underVmaLock: boolean;
  /** FaultFlag bits. */
  readonly flags: number;
}
