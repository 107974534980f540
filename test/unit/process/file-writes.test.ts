/** Files whose type is asked before a page becomes writable, and is told what pages contain. */

import { beforeEach, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { NodeStat, VmEvent } from "../../../src/mm/pages/counters.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { FaultFlag, FaultOutcome } from "../../../src/process/fault.ts";
import type { FileRef } from "../../../src/process/file-layout.ts";
import { Madvice } from "../../../src/process/madvise.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { MsyncFlag } from "../../../src/process/msync.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import type { MmRef } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { Task } from "../../../src/sync/task.ts";
import { KeptFiles } from "../../support/kept-files.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const PAGES = 4;
const RW = Prot.READ | Prot.WRITE;

let machine: Kernels;
let kernel: Kernel;
let mm: MmRef;
let disk: KeptFiles;
let file: FileRef;

beforeEach(() => {
  machine = kernelsOf({ cpus: 1 });
  [kernel] = machine.kernels;
  const { processes } = kernel;
  processes.start();
  disk = new KeptFiles(kernel);
  mm = processes.spaces.make();
  file = processes.shmem.create(disk.type);
  expect(processes.shmem.truncate(file, PAGES * PAGE)).toBe(0);
  processes.use(mm);
});

function map(address: number, flags: number, prot = RW): void {
  const request = { address, bytes: PAGES * PAGE, prot, flags: flags | MapFlag.FIXED, offset: 0 };
  expect(kernel.processes.calls.mmap(mm, { ...request, file: kernel.processes.files.describe(file) })).toBe(
    address,
  );
}

function attempt(body: () => void): string {
  try {
    body();
    return "";
  } catch (error) {
    if (error instanceof UserSignal) return `${error.signal} ${error.code}`;
    throw error;
  }
}
const write = (address: number, value: number): string =>
  attempt(() => kernel.paging.user.write(address, value));
const read = (address: number): number => kernel.paging.user.read(address);
const clean = (): number => kernel.processes.writes.clean(kernel.processes.files.inodeOf(file));
/** Pages that are dirty, and that have become dirty and were written so far. */
function counts(): number[] {
  const { vmstat, frames } = kernel.pages;
  const { nr_dirty, nr_dirtied, nr_written } = NodeStat;
  return [nr_dirty, nr_dirtied, nr_written].map((item) => vmstat.nodeStateSnapshot(frames.nodeAt(0), item));
}

function end(): void {
  const { processes } = kernel;
  checkSpaces(kernel);
  processes.use(0);
  processes.spaces.put(mm);
  processes.files.put(file);
  expect(processes.files.inodes()).toEqual([]);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  machine.check();
}

test("each page is asked about once until it is cleaned, and what was written is kept", () => {
  map(BASE, MapFlag.SHARED);
  expect(write(BASE, 7)).toBe("");
  expect(write(BASE + 4, 8)).toBe("");
  expect(read(BASE + PAGE)).toBe(0);
  expect(write(BASE + PAGE, 9)).toBe("");
  expect(disk.takeLog()).toEqual(["read 0", "mkwrite 0", "read 1", "mkwrite 1"]);
  checkSpaces(kernel);
  expect(clean()).toBe(2);
  expect([...disk.kept].map(([index, words]) => [index, words[0], words[1]])).toEqual([
    [0, 7, 8],
    [1, 9, 0],
  ]);
  expect(clean()).toBe(0);
  disk.takeLog();
  expect(write(BASE + 8, 10)).toBe("");
  expect(write(BASE + 12, 11)).toBe("");
  expect(disk.takeLog()).toEqual(["mkwrite 0"]);
  expect(clean()).toBe(1);
  expect(Array.from((disk.kept.get(0) as Int32Array).subarray(0, 4))).toEqual([7, 8, 10, 11]);
  end();
});

test("two mappings: both lose the right to write, a private copy does not", () => {
  map(BASE, MapFlag.SHARED);
  map(BASE * 2, MapFlag.SHARED);
  map(BASE * 3, MapFlag.PRIVATE);
  write(BASE, 1);
  write(BASE * 2 + 4, 2);
  write(BASE * 3, 3);
  expect(disk.takeLog()).toEqual(["read 0", "mkwrite 0", "mkwrite 0"]);
  expect(clean()).toBe(1);
  disk.takeLog();
  write(BASE * 3 + 4, 4);
  expect(disk.takeLog()).toEqual([]);
  write(BASE * 2 + 4, 5);
  write(BASE, 6);
  expect(disk.takeLog()).toEqual(["mkwrite 0", "mkwrite 0"]);
  expect([read(BASE), read(BASE * 2 + 4), read(BASE * 3)]).toEqual([6, 5, 3]);
  end();
});

test("msync writes the pages of its range that are dirty, if it is to wait for that", () => {
  const { calls } = kernel.processes;
  map(BASE, MapFlag.SHARED);
  for (let page = 0; page < PAGES; page++) write(BASE + page * PAGE, page + 1);
  disk.takeLog();
  expect(calls.msync(mm, BASE + PAGE, 2 * PAGE, MsyncFlag.ASYNC)).toBe(0);
  expect(disk.takeLog()).toEqual([]);
  expect(calls.msync(mm, BASE + PAGE, 2 * PAGE, MsyncFlag.SYNC)).toBe(0);
  expect(disk.takeLog()).toEqual(["write 1", "write 2"]);
  expect(counts()[0]).toBe(PAGES - 2);
  end();
});

test("a type that refuses ends the write with SIGBUS, and the page stays clean", () => {
  map(BASE, MapFlag.SHARED);
  disk.mayWrite = false;
  expect(write(BASE, 1)).toBe("BUS ADRERR");
  expect(read(BASE)).toBe(0);
  expect(write(BASE, 1)).toBe("BUS ADRERR");
  checkSpaces(kernel);
  disk.mayWrite = true;
  expect(write(BASE, 1)).toBe("");
  disk.mayRead = false;
  expect(attempt(() => read(BASE + PAGE))).toBe("BUS ADRERR");
  end();
});

test("mprotect gives pages that are dirty the right to write at once, and asks about the others", () => {
  map(BASE, MapFlag.SHARED);
  write(BASE, 1);
  read(BASE + PAGE);
  const { calls } = kernel.processes;
  expect(calls.mprotect(mm, BASE, 2 * PAGE, Prot.READ)).toBe(0);
  expect(calls.mprotect(mm, BASE, 2 * PAGE, RW)).toBe(0);
  disk.takeLog();
  write(BASE, 2);
  expect(disk.takeLog()).toEqual([]);
  write(BASE + PAGE, 3);
  expect(disk.takeLog()).toEqual(["mkwrite 1"]);
  end();
});

test("what comes back after it was cut off or dropped is read again; counters follow", () => {
  const { shmem, calls } = kernel.processes;
  map(BASE, MapFlag.SHARED);
  for (let page = 0; page < PAGES; page++) write(BASE + page * PAGE, page + 1);
  expect(counts()).toEqual([PAGES, PAGES, 0]);
  expect(clean()).toBe(PAGES);
  expect(counts()).toEqual([0, PAGES, PAGES]);
  write(BASE + 3 * PAGE, 44);
  expect(shmem.truncate(file, PAGE)).toBe(0);
  expect(attempt(() => read(BASE + PAGE))).toBe("BUS ADRERR");
  expect(shmem.truncate(file, PAGES * PAGE)).toBe(0);
  expect(read(BASE + 3 * PAGE)).toBe(4);
  expect(calls.madvise(mm, BASE, PAGE, Madvice.REMOVE)).toBe(0);
  expect(read(BASE)).toBe(1);
  expect(shmem.write(file, 2 * PAGE + 4, [5])).toBe(1);
  expect(shmem.read(file, 2 * PAGE, 8)).toEqual([3, 0, 0, 0, 5, 0, 0, 0]);
  expect(clean()).toBe(1);
  end();
});

test("pages that are read in are major faults, and give the lock up once", () => {
  const { vmstat: events } = kernel.pages;
  const { memory, cpu } = kernel;
  const faults = (): number[] => [
    memory.read(cpu.current + Task.minFlt),
    memory.read(cpu.current + Task.majFlt),
    events.eventTotal(VmEvent.pgmajfault),
    events.eventTotal(VmEvent.vma_lock_retry),
  ];
  const before = faults();
  const change = (): number[] => faults().map((count, i) => count - before[i]);
  map(BASE, MapFlag.SHARED);
  read(BASE);
  expect(change()).toEqual([0, 1, 1, 1]);
  write(BASE, 1);
  expect(change()).toEqual([1, 1, 1, 1]);
  end();
});

test("who may not wait for a page is told to come again, and keeps his lock", () => {
  const { processes } = kernel;
  const { mmapLocks, vmas, cache, files, faults } = processes;
  map(BASE, MapFlag.SHARED);
  expect(processes.shmem.write(file, 0, [1])).toBe(1);
  const pfn = cache.find(files.inodeOf(file), 0);
  expect(processes.pageLocks.tryLock(pfn)).toBe(true);
  mmapLocks.readLock(mm);
  const area = vmas.lookup(mm, BASE);
  expect(faults.faultIn(mm, area, BASE, false, FaultFlag.ALLOW_RETRY | FaultFlag.NOWAIT)).toBe(
    FaultOutcome.RETRY,
  );
  processes.pageLocks.unlock(pfn);
  expect(faults.faultIn(mm, area, BASE, false, FaultFlag.ALLOW_RETRY | FaultFlag.NOWAIT)).toBe(
    FaultOutcome.DONE,
  );
  mmapLocks.readUnlock(mm);
  kernel.pages.putPage(pfn);
  end();
});
