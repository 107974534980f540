/**
 * The timer tick of one CPU, every 4 ms: the kernel's periodic work.
 *
 *   RCU        hurries a grace period that this CPU's callbacks wait for and that takes long
 *   counters   once a second the CPU folds its deltas, shortens page lists that have grown too long, and gives back pages
 *              of other nodes; a list that is locked where the interrupt came is left for the next second
 *   SLAB       every two seconds the CPU's reaper is due: it runs at the CPU's next allocation that may sleep and misses
 *              its array (Linux: a worker thread's delayed work)
 *
 * Ticks come only while a CPU ends operations: one that sleeps has none, and its deltas wait until it runs again.  A CPU
 * that leaves the run folds them before, so that at rest all totals are exact.
 *
 * Linux: kernel/time/timer.c update_process_times; mm/vmstat.c vmstat_update, quiet_vmstat.  Differs: the update runs on a
 * worker thread there, and a CPU that goes idle folds each time its tick is stopped.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { Vector } from "../hardware/vectors.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { Rcu } from "../sync/rcu.ts";

export function installTick(
  cpu: Cpu,
  rcu: Pick<Rcu, "tick">,
  pages: Pick<PageAllocator, "tick">,
  slabs: Pick<SlabCaches, "tick">,
): void {
  cpu.onInterrupt(Vector.TIMER, () => {
    rcu.tick();
    pages.tick();
    slabs.tick();
  });
}
