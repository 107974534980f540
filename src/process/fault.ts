/** A page fault on its way, and how one ends.  Linux: struct vm_fault, vm_fault_t. */

import type { MmRef, VmaRef } from "./vm-area.ts";

export const FaultOutcome = { DONE: 0, RETRY: 1, OOM: 2, SIGBUS: 3 } as const;

/** What is asked of which page. */
export interface Fault {
  readonly mm: MmRef;
  readonly area: VmaRef;
  /** Of the page. */
  readonly address: number;
  readonly isWrite: boolean;
  /** The VMA's own lock is held, not mmap_lock. */
  readonly underVmaLock: boolean;
}
