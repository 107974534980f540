/** Stacks that grow: how far, what keeps them, what is counted. */

import { beforeEach, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Errno } from "../../../src/memory/errno.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import { type MmRef, MmStruct } from "../../../src/process/vm-area.ts";
import { Prot, VmFlag } from "../../../src/process/vm-flags.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const TOP = 2 ** 40;
const GAP = 256;
const RW = Prot.READ | Prot.WRITE;
const { PRIVATE, ANONYMOUS, FIXED, GROWSDOWN, SHARED } = MapFlag;

let machine: Kernels;
let kernel: Kernel;
let mm: MmRef;

beforeEach(() => {
  machine = kernelsOf({ cpus: 1, privileged: false, rlimitStack: "unlimited", rlimitMemlock: "unlimited" });
  [kernel] = machine.kernels;
  kernel.processes.start();
  mm = kernel.processes.spaces.make();
  kernel.processes.use(mm);
});

function map(start: number, pages: number, extra = 0, prot = RW): number {
  const flags = PRIVATE | ANONYMOUS | FIXED | extra;
  const request = { address: start, bytes: pages * PAGE, prot, flags, file: null, offset: 0 };
  return kernel.processes.calls.mmap(mm, request);
}

/** A stack whose one page ends at TOP. */
function mapStack(): void {
  expect(map(TOP - PAGE, 1, GROWSDOWN)).toBe(TOP - PAGE);
}

/** "" or the code of the signal. */
function touch(address: number, space = kernel): string {
  try {
    space.paging.user.write(address, 7);
    return "";
  } catch (error) {
    if (error instanceof UserSignal) return `${error.signal} ${error.code}`;
    throw error;
  }
}

const startOf = (address: number): number =>
  kernel.processes.vmas.startOf(kernel.processes.vmas.find(mm, address));
const field = (at: number): number => kernel.memory.readFloat64(mm + at);

function end(): void {
  const { processes } = kernel;
  checkSpaces(kernel);
  processes.use(0);
  processes.spaces.put(mm);
  expect(processes.accounting.committedPages).toBe(0);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  machine.check();
}

test("a stack grows down to 256 pages above what is mapped below, and not to 255", () => {
  map(TOP - 400 * PAGE, 1);
  mapStack();
  const below = TOP - 399 * PAGE;
  expect(touch(below + (GAP - 1) * PAGE)).toBe("SEGV MAPERR");
  expect(startOf(TOP - 1)).toBe(TOP - PAGE);
  expect(touch(below + GAP * PAGE)).toBe("");
  expect(startOf(TOP - 1)).toBe(below + GAP * PAGE);
  expect(kernel.paging.user.read(below + GAP * PAGE)).toBe(7);
  end();
});

test("what nobody may access, and another stack, need no distance", () => {
  map(TOP - 4 * PAGE, 1, 0, 0);
  mapStack();
  expect(touch(TOP - 3 * PAGE)).toBe("");
  expect(touch(TOP - 4 * PAGE)).toBe("SEGV ACCERR");
  const other = TOP - 1000 * PAGE;
  map(other, 1, GROWSDOWN);
  map(other + 2 * PAGE, 1, GROWSDOWN);
  expect(touch(other + PAGE)).toBe("");
  end();
});

test("it grows over pages that were never touched, and these are counted and committed", () => {
  mapStack();
  const committed = kernel.processes.accounting.committedPages;
  expect(touch(TOP - 10 * PAGE)).toBe("");
  expect(touch(TOP - 5 * PAGE)).toBe("");
  expect([field(MmStruct.stackVm), field(MmStruct.totalVm), field(MmStruct.dataVm)]).toEqual([10, 10, 0]);
  expect(kernel.processes.accounting.committedPages - committed).toBe(9);
  // Unmapped in the middle: the lower part grows on.
  expect(kernel.processes.calls.munmap(mm, TOP - 6 * PAGE, 2 * PAGE)).toBe(0);
  expect(touch(TOP - 12 * PAGE)).toBe("");
  expect(touch(TOP - 5 * PAGE)).toBe("");
  expect(field(MmStruct.stackVm)).toBe(11);
  end();
});

test("limits of stacks, of the address space and of locked memory keep it small", () => {
  const { memory, processes } = kernel;
  mapStack();
  const refusedWith = (at: number, limit: number): void => {
    memory.writeFloat64(mm + at, limit);
    expect(touch(TOP - 4 * PAGE)).toBe("SEGV MAPERR");
    memory.writeFloat64(mm + at, Infinity);
  };
  refusedWith(MmStruct.limitStackBytes, 3 * PAGE);
  refusedWith(MmStruct.limitPages, 3);
  expect(processes.calls.locking.mlock(mm, TOP - PAGE, PAGE)).toBe(0);
  refusedWith(MmStruct.limitLockedPages, 3);
  memory.writeFloat64(mm + MmStruct.limitStackBytes, 4 * PAGE);
  expect(touch(TOP - 4 * PAGE)).toBe("");
  expect(field(MmStruct.lockedVm)).toBe(4);
  end();
});

test("new mappings keep their distance, and the hint next to a stack is not taken", () => {
  mapStack();
  const { calls } = kernel.processes;
  const hint = TOP - 20 * PAGE;
  const request = { bytes: PAGE, prot: RW, flags: PRIVATE | ANONYMOUS, file: null, offset: 0 };
  expect(calls.mmap(mm, { ...request, address: hint })).not.toBe(hint);
  const far = TOP - PAGE - (GAP + 1) * PAGE;
  expect(calls.mmap(mm, { ...request, address: far })).toBe(far);
  expect(touch(TOP - 2 * PAGE)).toBe("SEGV MAPERR");
  end();
});

test("shared memory and files cannot be stacks", () => {
  const { calls, shmem, files } = kernel.processes;
  const request = { address: TOP, bytes: PAGE, prot: RW, offset: 0 };
  const flags = ANONYMOUS | SHARED | GROWSDOWN;
  expect(calls.mmap(mm, { ...request, flags, file: null })).toBe(-Errno.EINVAL);
  const file = shmem.create();
  const asked = { ...request, flags: PRIVATE | GROWSDOWN, file: files.describe(file) };
  expect(calls.mmap(mm, asked)).toBe(-Errno.EINVAL);
  files.put(file);
  end();
});

test("mprotect with PROT_GROWSDOWN goes down to where the stack begins", () => {
  mapStack();
  touch(TOP - 4 * PAGE);
  const { calls, vmas } = kernel.processes;
  expect(calls.mprotect(mm, TOP - PAGE, PAGE, Prot.READ | Prot.GROWSDOWN)).toBe(0);
  expect(touch(TOP - 4 * PAGE)).toBe("SEGV ACCERR");
  expect(vmas.flagsOf(vmas.lookup(mm, TOP - 1)) & VmFlag.WRITE).toBe(0);
  map(TOP - 1000 * PAGE, 1);
  expect(calls.mprotect(mm, TOP - 1000 * PAGE, PAGE, RW | Prot.GROWSDOWN)).toBe(-Errno.EINVAL);
  end();
});

test("a child's stack grows by itself", () => {
  const { processes, paging } = kernel;
  mapStack();
  touch(TOP - PAGE);
  const child = processes.calls.fork(mm);
  processes.use(child);
  expect(touch(TOP - 3 * PAGE)).toBe("");
  expect(paging.user.read(TOP - PAGE)).toBe(7);
  checkSpaces(kernel);
  processes.use(mm);
  expect(startOf(TOP - 1)).toBe(TOP - PAGE);
  processes.spaces.put(child);
  end();
});
