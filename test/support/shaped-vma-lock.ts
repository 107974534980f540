/** What page faults lock: run by in-shape.ts, with plain data as results. */

import { VmEvent } from "../../src/mm/pages/counters.ts";
import { MapFlag } from "../../src/process/mmap.ts";
import { Prot } from "../../src/process/vm-flags.ts";
import { LockClass } from "../../src/sync/lock-class.ts";
import { sumLockStats } from "../../src/sync/lock-stat.ts";
import { Task } from "../../src/sync/task.ts";
import { kernelsOf } from "./kernels.ts";

const PAGE = 4096;
const PAGES = 64;

export interface Takings {
  /** Times that mmap_lock was taken: to map, by the first fault, by those on the pages after it, to unmap. */
  readonly mmapLock: readonly number[];
  readonly faults: number;
  /** How often the lock of the VMA served, was not to be had, was not enough. */
  readonly vmaLocks: readonly number[];
}

/** One write to each of 64 pages of a fresh VMA. */
export function takingsOfFirstTouches(): Takings {
  const [kernel] = kernelsOf({ cpus: 1 }).kernels;
  const { processes, paging, memory, image } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  processes.use(mm);
  const taken = (): number =>
    sumLockStats(memory, image.spin, kernel.topology.possibleCpus).find(
      ({ classId }) => classId === LockClass.MMAP,
    )?.acquisitions ?? 0;
  const during = (body: () => void): number => {
    const before = taken();
    body();
    return taken() - before;
  };
  const { calls } = processes;
  let start = 0;
  const map = during(() => {
    const [prot, flags] = [Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS];
    start = calls.mmap(mm, { address: 0, bytes: PAGES * PAGE, prot, flags, file: null, offset: 0 });
  });
  const first = during(() => paging.user.write(start, 1));
  const others = during(() => {
    for (let page = 1; page < PAGES; page++) paging.user.write(start + page * PAGE, page + 1);
  });
  const unmap = during(() => calls.munmap(mm, start, PAGES * PAGE));
  const faults = memory.read(kernel.cpu.current + Task.minFlt);
  processes.use(0);
  processes.spaces.put(mm);
  const { vmstat } = kernel.pages;
  const { vma_lock_success, vma_lock_abort, vma_lock_retry } = VmEvent;
  const vmaLocks = [vma_lock_success, vma_lock_abort, vma_lock_retry].map((event) =>
    vmstat.eventTotal(event),
  );
  return { mmapLock: [map, first, others, unmap], faults, vmaLocks };
}
