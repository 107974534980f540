/** Memory files beyond what recorded traces ask: far pages, parts of pages, private copies, files that end. */

import { beforeEach, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Errno } from "../../../src/memory/errno.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { FileMode, type FileRef, Inode } from "../../../src/process/file-layout.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import type { MmRef } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const { SHARED, PRIVATE, FIXED } = MapFlag;

let machine: Kernels;
let kernel: Kernel;
let mm: MmRef;
let file: FileRef;

beforeEach(() => {
  machine = kernelsOf({ cpus: 1 });
  [kernel] = machine.kernels;
  kernel.processes.start();
  mm = kernel.processes.spaces.make();
  file = kernel.processes.shmem.create();
  kernel.processes.use(mm);
});

const cachedPages = (): number =>
  kernel.memory.read(kernel.processes.files.inodeOf(file) + Inode.cachedPages);

function map(address: number, pages: number, flags: number, offset = 0): void {
  const { calls, files } = kernel.processes;
  const request = { address, bytes: pages * PAGE, prot: Prot.READ | Prot.WRITE, offset: offset * PAGE };
  const got = calls.mmap(mm, { ...request, flags: flags | FIXED, file: files.describe(file) });
  expect(got).toBe(address);
}

function read(address: number): number | string {
  try {
    return kernel.paging.user.read(address);
  } catch (error) {
    if (error instanceof UserSignal) return error.code;
    throw error;
  }
}

/** The address space and the file end, and nothing is left. */
function end(): void {
  const { processes } = kernel;
  checkSpaces(kernel);
  processes.use(0);
  processes.spaces.put(mm);
  processes.files.put(file);
  expect(processes.files.inodes()).toEqual([]);
  expect(processes.accounting.committedPages).toBe(0);
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  machine.check();
}

test("pages far apart need a high tree, which shrinks as they go", () => {
  const { shmem, files, cache } = kernel.processes;
  const indexes = [0, 1, 63, 64, 4095, 4096, 2 ** 20 + 5, 2 ** 33, 2 ** 40 + 7];
  for (const index of indexes) expect(shmem.write(file, index * PAGE, [index % 251])).toBe(1);
  const inode = files.inodeOf(file);
  expect([...cache.check(inode).keys()]).toEqual(indexes);
  for (const index of indexes) expect(shmem.read(file, index * PAGE, 1)).toEqual([index % 251]);
  for (const index of indexes.slice(1).toReversed()) {
    expect(shmem.truncate(file, index * PAGE)).toBe(0);
    expect([...cache.check(inode).keys()]).toEqual(indexes.filter((other) => other < index));
  }
  // What is left is the first page alone, in a tree of one node.
  expect(kernel.memory.read(kernel.memory.read(inode + Inode.head))).toBe(0);
  end();
});

test("truncation zeroes the rest of the last page, in mappings too, and takes private copies behind the end", () => {
  const { shmem } = kernel.processes;
  expect(shmem.write(file, 0, new Array<number>(3 * PAGE).fill(9))).toBe(3 * PAGE);
  map(BASE, 3, SHARED);
  map(BASE + 16 * PAGE, 3, PRIVATE);
  kernel.paging.user.write(BASE + 16 * PAGE + 4, 1);
  kernel.paging.user.write(BASE + 18 * PAGE, 2);
  expect(read(BASE + 2048)).toBe(0x09090909);
  expect(shmem.truncate(file, 2048)).toBe(0);
  expect([read(BASE + 2044), read(BASE + 2048), read(BASE + PAGE)]).toEqual([0x09090909, 0, "ADRERR"]);
  // The copy of a page that is still in the file stays as it was, behind the end as well.
  expect([read(BASE + 16 * PAGE + 4), read(BASE + 16 * PAGE + 2048)]).toEqual([1, 0x09090909]);
  expect([read(BASE + 18 * PAGE), cachedPages()]).toEqual(["ADRERR", 1]);
  expect(shmem.truncate(file, 3 * PAGE)).toBe(0);
  expect([read(BASE + 2048), read(BASE + 18 * PAGE)]).toEqual([0, 0]);
  end();
});

test("a hole leaves private copies, and zeroes parts of pages at its ends", () => {
  const { shmem } = kernel.processes;
  shmem.write(file, 0, new Array<number>(4 * PAGE).fill(7));
  map(BASE, 4, PRIVATE);
  kernel.paging.user.write(BASE + PAGE, 5);
  expect(shmem.punchHole(file, 2048, 2 * PAGE)).toBe(0);
  expect(cachedPages()).toBe(3);
  expect([read(BASE + 2044), read(BASE + 2048), read(BASE + PAGE)]).toEqual([0x07070707, 0, 5]);
  expect([read(BASE + 2 * PAGE), read(BASE + 2 * PAGE + 2048)]).toEqual([0, 0x07070707]);
  expect(shmem.punchHole(file, 100, 8)).toBe(0);
  expect(shmem.read(file, 98, 12)).toEqual([7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7]);
  end();
});

test("what may not be done with a file is refused", () => {
  const { shmem, files } = kernel.processes;
  const readOnly = files.open(files.inodeOf(file), FileMode.READ);
  expect([
    shmem.truncate(file, -1),
    shmem.truncate(file, 2 ** 63),
    shmem.truncate(readOnly, 0),
    shmem.write(readOnly, 0, [1]),
    shmem.punchHole(readOnly, 0, PAGE),
    shmem.punchHole(file, 0, 0),
    shmem.punchHole(file, 2 ** 62, 2 ** 62),
  ]).toEqual([
    -Errno.EINVAL,
    -Errno.EFBIG,
    -Errno.EINVAL,
    -Errno.EBADF,
    -Errno.EBADF,
    -Errno.EINVAL,
    -Errno.EFBIG,
  ]);
  files.put(readOnly);
  end();
});

test("a mapping keeps its file when everybody has closed it", () => {
  const { processes } = kernel;
  processes.shmem.write(file, 0, [42]);
  map(BASE, 1, SHARED);
  processes.files.put(file);
  expect([read(BASE), processes.files.inodes().length]).toEqual([42, 1]);
  expect(processes.calls.munmap(mm, BASE, PAGE)).toBe(0);
  expect(processes.files.inodes()).toEqual([]);
  file = processes.shmem.create();
  end();
});
