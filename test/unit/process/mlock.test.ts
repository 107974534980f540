/** Pages of locked VMAs: how often each is locked, what is counted, and what is left when they go. */

import { beforeEach, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { NodeStat, VmEvent, ZoneStat } from "../../../src/mm/pages/counters.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import { PageFlag } from "../../../src/mm/pages/page-flags.ts";
import { AnonPage } from "../../../src/mm/pages/page-overlays.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { Madvice } from "../../../src/process/madvise.ts";
import { Mlock2Flag, MlockallFlag } from "../../../src/process/mlock.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { contextOf, type MmRef } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const OTHER = 2 ** 41;
const RW = Prot.READ | Prot.WRITE;
const { PRIVATE, SHARED, ANONYMOUS, FIXED, LOCKED } = MapFlag;

let machine: Kernels;
let kernel: Kernel;
let mm: MmRef;

beforeEach(() => {
  machine = kernelsOf({ cpus: 1 });
  [kernel] = machine.kernels;
  kernel.processes.start();
  mm = kernel.processes.spaces.make();
  kernel.processes.use(mm);
});

function map(address: number, pages: number, flags = 0, file = 0): void {
  const { calls, files } = kernel.processes;
  const request = { address, bytes: pages * PAGE, prot: RW, offset: 0 };
  const kind = file === 0 ? ANONYMOUS | ((flags & SHARED) === 0 ? PRIVATE : 0) : SHARED;
  const of = file === 0 ? null : files.describe(file);
  expect(calls.mmap(mm, { ...request, flags: flags | kind | FIXED, file: of })).toBe(address);
}
const write = (address: number): void => kernel.paging.user.write(address, 1);

/** Marked pages, and those whose count is kept. */
function counts(): number[] {
  const { vmstat, frames } = kernel.pages;
  const zones = frames.populatedZones();
  const sum = zones.reduce((total, zone) => total + vmstat.zoneStateSnapshot(zone, ZoneStat.nr_mlock), 0);
  return [sum, vmstat.nodeStateSnapshot(frames.nodeAt(0), NodeStat.nr_unevictable)];
}

/** How often the page at `address` is locked; -1: not at all. */
function locksOf(address: number): number {
  const { tables } = kernel.paging;
  const at = tables.pteOffsetMapLock(tables.pmdOffset(contextOf(mm), address), address);
  const page = kernel.pages.frames.pageOf(tables.pte.pfnOf(tables.pte.get(at)));
  tables.pteUnlock(at);
  const isLocked = (kernel.memory.read(page + Page.flags) & PageFlag.MLOCKED) !== 0;
  return isLocked ? kernel.memory.read(page + AnonPage.mlockCount) : -1;
}

function end(): void {
  const { processes } = kernel;
  checkSpaces(kernel);
  processes.use(0);
  processes.spaces.put(mm);
  expect(counts()).toEqual([0, 0]);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  machine.check();
}

test("mlock marks what is there and brings the rest; munlock and munmap take the marks away", () => {
  const { calls } = kernel.processes;
  map(BASE, 8);
  write(BASE);
  expect(calls.locking.mlock(mm, BASE, 6 * PAGE)).toBe(0);
  expect(counts()).toEqual([6, 6]);
  expect(locksOf(BASE)).toBe(1);
  checkSpaces(kernel);
  expect(calls.locking.munlock(mm, BASE, 2 * PAGE)).toBe(0);
  expect(counts()).toEqual([4, 4]);
  // Once more does not count twice.
  expect(calls.locking.mlock(mm, BASE + 2 * PAGE, PAGE)).toBe(0);
  expect(locksOf(BASE + 2 * PAGE)).toBe(1);
  expect(calls.munmap(mm, BASE + 2 * PAGE, 3 * PAGE)).toBe(0);
  expect(counts()).toEqual([1, 1]);
  end();
});

test("a page that several VMAs lock is locked until the last of them lets go", () => {
  const { calls, shmem, files } = kernel.processes;
  const file = shmem.create();
  expect(shmem.truncate(file, 2 * PAGE)).toBe(0);
  map(BASE, 2, LOCKED, file);
  map(OTHER, 2, LOCKED, file);
  expect(counts()).toEqual([2, 2]);
  expect(locksOf(BASE)).toBe(2);
  expect(calls.locking.munlock(mm, BASE, PAGE)).toBe(0);
  expect([locksOf(BASE), locksOf(BASE + PAGE)]).toEqual([1, 2]);
  expect(calls.munmap(mm, OTHER, 2 * PAGE)).toBe(0);
  expect([locksOf(BASE), locksOf(BASE + PAGE)]).toEqual([-1, 1]);
  expect(counts()).toEqual([1, 1]);
  // Cut off, it leaves the VMA.
  expect(shmem.truncate(file, PAGE)).toBe(0);
  expect(counts()).toEqual([0, 0]);
  files.put(file);
  end();
});

test("pages that faults bring wait in a batch of 31, with a reference, until it is full", () => {
  const { calls, mlocks } = kernel.processes;
  map(BASE, 40);
  expect(calls.locking.mlock2(mm, BASE, 40 * PAGE, Mlock2Flag.ONFAULT)).toBe(0);
  for (let page = 0; page < 30; page++) write(BASE + page * PAGE);
  expect(counts()).toEqual([30, 0]);
  checkSpaces(kernel);
  write(BASE + 30 * PAGE);
  expect(counts()).toEqual([31, 31]);
  write(BASE + 31 * PAGE);
  expect(counts()).toEqual([32, 31]);
  expect(calls.madvise(mm, BASE, PAGE, Madvice.DONTNEED_LOCKED)).toBe(0);
  expect(counts()).toEqual([31, 31]);
  write(BASE + 32 * PAGE);
  mlocks.drain();
  expect(counts()).toEqual([32, 32]);
  end();
});

test("a batch's reference does not make a page look shared", () => {
  const { calls, spaces } = kernel.processes;
  map(BASE, 1);
  expect(calls.locking.mlock2(mm, BASE, PAGE, Mlock2Flag.ONFAULT)).toBe(0);
  write(BASE);
  const child = calls.fork(mm);
  spaces.put(child);
  const { vmstat } = kernel.pages;
  const before = vmstat.eventTotal(VmEvent.pgreuse);
  write(BASE);
  expect(vmstat.eventTotal(VmEvent.pgreuse) - before).toBe(1);
  expect(counts()).toEqual([1, 1]);
  end();
});

test("a child's memory is not locked, and a copy takes the original's place in its parent", () => {
  const { calls, processes } = { ...kernel, calls: kernel.processes.calls };
  map(BASE, 2, LOCKED);
  const child = calls.fork(mm);
  write(BASE);
  processes.mlocks.drain();
  expect(counts()).toEqual([2, 2]);
  checkSpaces(kernel);
  processes.spaces.put(child);
  expect(counts()).toEqual([2, 2]);
  end();
});

test("mlockall and munlockall; what is moved stays locked", () => {
  const { calls } = kernel.processes;
  map(BASE, 3);
  write(BASE);
  const { CURRENT, FUTURE } = MlockallFlag;
  expect(calls.locking.mlockall(mm, CURRENT | FUTURE)).toBe(0);
  map(OTHER, 2);
  expect(counts()).toEqual([5, 5]);
  const to = OTHER + 2 ** 30;
  const moved = { address: BASE, oldBytes: 3 * PAGE, newBytes: 4 * PAGE, flags: 3, to };
  expect(calls.mremap(mm, moved)).toBe(to);
  expect(counts()).toEqual([6, 6]);
  expect(calls.locking.munlockall(mm)).toBe(0);
  expect(counts()).toEqual([0, 0]);
  end();
});
