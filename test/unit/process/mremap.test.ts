/** mremap beyond what recorded traces ask: failures half way, limits, whole tables, a locked mapping that grows. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Errno } from "../../../src/memory/errno.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { MremapFlag } from "../../../src/process/mremap.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import { contextOf, type MmRef, MmStruct } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { DEFAULT_VM_SETTINGS } from "../../../src/process/vm-settings.ts";
import { usageOf } from "../../../src/procfs/pid/usage.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const TABLE = 512 * PAGE;
const BASE = 2 ** 40;
const { MAYMOVE, FIXED, DONTUNMAP } = MremapFlag;

class Program {
  readonly kernel: Kernel;
  readonly mm: MmRef;
  private readonly checkMachine: () => number;

  constructor() {
    const machine = kernelsOf({ cpus: 1 });
    [this.kernel] = machine.kernels;
    this.checkMachine = machine.check;
    this.kernel.processes.start();
    this.mm = this.kernel.processes.spaces.make();
    this.kernel.processes.use(this.mm);
  }

  map(address: number, pages: number, extra = 0): void {
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED | extra;
    const request = { bytes: pages * PAGE, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
    expect(this.kernel.processes.calls.mmap(this.mm, { address, ...request })).toBe(address);
  }

  /** Writes `value + k` into page k. */
  fill(address: number, pages: number, value: number): void {
    for (let k = 0; k < pages; k++) this.kernel.paging.user.write(address + k * PAGE, value + k);
  }

  words(address: number, pages: number): (number | string)[] {
    return Array.from({ length: pages }, (_, k) => {
      try {
        return this.kernel.paging.user.read(address + k * PAGE);
      } catch (error) {
        if (error instanceof UserSignal) return error.code;
        throw error;
      }
    });
  }

  remap(address: number, oldPages: number, newPages: number, flags = 0, to = 0): number {
    const request = { address, oldBytes: oldPages * PAGE, newBytes: newPages * PAGE, flags, to };
    return this.kernel.processes.calls.mremap(this.mm, request);
  }

  float(field: number): number {
    return this.kernel.memory.readFloat64(this.mm + field);
  }

  areas(): [first: number, pages: number][] {
    const { vmas } = this.kernel.processes;
    return vmas
      .overlapping(this.mm, 0, 2 ** 47)
      .map((area) => [(vmas.startOf(area) - BASE) / PAGE, vmas.pagesOf(area)]);
  }

  tableOf(address: number): number {
    const { memory, paging } = this.kernel;
    return memory.load(paging.tables.pmdOffset(contextOf(this.mm), address));
  }

  /** Does `body` with the first object allocation failing, then the second, and so on, until it succeeds; how often it failed. */
  withFailures(body: () => number): number {
    const { slabs } = this.kernel;
    const { alloc } = slabs;
    for (let failing = 1; failing < 100; failing++) {
      let left = failing;
      slabs.alloc = (...args) => (--left === 0 ? 0 : alloc.apply(slabs, args));
      const result = body();
      slabs.alloc = alloc;
      checkSpaces(this.kernel);
      if (result >= 0) return failing - 1;
      expect(result).toBe(-Errno.ENOMEM);
    }
    throw new Error("it never succeeds");
  }

  /** Everything goes, and nothing is left. */
  end(): void {
    const { kernel } = this;
    checkSpaces(kernel);
    kernel.processes.use(0);
    kernel.processes.spaces.put(this.mm);
    kernel.rcu.barrier();
    kernel.cpu.endOperation();
    expect(kernel.processes.accounting.committedPages).toBe(0);
    this.checkMachine();
  }
}

describe("mremap", () => {
  test("a mapping of many tables moves with its pages, in and out of step with the tables", () => {
    for (const shift of [0, 3 * PAGE]) {
      const program = new Program();
      const to = BASE + 8 * TABLE + shift;
      program.map(BASE, 1030);
      program.fill(BASE, 4, 10);
      program.fill(BASE + 700 * PAGE, 2, 20);
      program.fill(BASE + 1029 * PAGE, 1, 30);
      const table = program.tableOf(BASE);
      expect(program.remap(BASE, 1030, 1030, MAYMOVE | FIXED, to)).toBe(to);
      expect(program.words(to, 5)).toEqual([10, 11, 12, 13, 0]);
      expect(program.words(to + 700 * PAGE, 2)).toEqual([20, 21]);
      expect(program.words(to + 1029 * PAGE, 2)).toEqual([30, "MAPERR"]);
      expect(program.words(BASE, 1)).toEqual(["MAPERR"]);
      // Only a range that lies alike takes its tables along.
      expect(program.tableOf(to) === table).toBe(shift === 0);
      program.end();
    }
  });

  test("a mapping that cannot have a table at its new place stays as it was", () => {
    const program = new Program();
    const { tables } = program.kernel.paging;
    program.map(BASE, 700);
    program.fill(BASE, 700, 1);
    const before = [program.float(MmStruct.totalVm), program.kernel.processes.accounting.committedPages];
    const { pteAlloc } = tables;
    let made = 0;
    // The second table is one too many.
    tables.pteAlloc = (mm, pmd) => {
      const isThere = program.kernel.memory.load(pmd) !== 0;
      return isThere || (++made <= 1 && pteAlloc.call(tables, mm, pmd));
    };
    const to = BASE + 5 * TABLE + 100 * PAGE;
    const result = program.remap(BASE, 700, 800, MAYMOVE | FIXED, to);
    tables.pteAlloc = pteAlloc;
    expect(result).toBe(-Errno.ENOMEM);
    expect(program.words(BASE, 700)).toEqual(Array.from({ length: 700 }, (_, k) => k + 1));
    expect(program.words(to, 1)).toEqual(["MAPERR"]);
    expect([program.float(MmStruct.totalVm), program.kernel.processes.accounting.committedPages]).toEqual(
      before,
    );
    program.end();
  });

  test("a locked mapping that grows has its new pages at once, and counts them", () => {
    const program = new Program();
    program.map(BASE, 4, MapFlag.LOCKED);
    program.map(BASE + 4 * PAGE, 1);
    expect(program.remap(BASE, 4, 6)).toBe(-Errno.ENOMEM);
    const to = program.remap(BASE, 4, 6, MAYMOVE);
    expect(to).toBeGreaterThan(0);
    expect(program.float(MmStruct.lockedVm)).toBe(6);
    const grown = program.kernel.processes.vmas.lookup(program.mm, to);
    expect(usageOf(program.kernel, program.mm, grown).anonymous).toBe(6 * PAGE);
    const { spaces } = program.kernel.processes;
    spaces.setCapabilities(program.mm, 0);
    spaces.setLimits(program.mm, { rlimitMemlock: 7 * PAGE });
    expect(program.remap(to, 6, 8, MAYMOVE)).toBe(-Errno.EAGAIN);
    program.end();
  });

  test("DONTUNMAP leaves the old mapping empty, not locked, and with new pages to come", () => {
    const program = new Program();
    program.map(BASE, 3, MapFlag.LOCKED);
    program.fill(BASE, 3, 5);
    const to = BASE + 10 * PAGE;
    expect(program.remap(BASE, 3, 3, MAYMOVE | FIXED | DONTUNMAP, to)).toBe(to);
    expect(program.words(BASE, 3)).toEqual([0, 0, 0]);
    expect(program.words(to, 3)).toEqual([5, 6, 7]);
    expect(program.float(MmStruct.lockedVm)).toBe(3);
    program.fill(BASE, 3, 50);
    expect(program.words(to, 3)).toEqual([5, 6, 7]);
    program.end();
  });

  test("several mappings and their holes move at once; pages that went away come back together", () => {
    const program = new Program();
    program.map(BASE, 2);
    program.map(BASE + 3 * PAGE, 2);
    program.fill(BASE, 2, 1);
    program.fill(BASE + 3 * PAGE, 2, 4);
    expect(program.remap(BASE, 5, 5, MAYMOVE | FIXED, BASE + 20 * PAGE)).toBe(BASE + 20 * PAGE);
    expect(program.areas()).toEqual([
      [20, 2],
      [23, 2],
    ]);
    expect(program.words(BASE + 20 * PAGE, 5)).toEqual([1, 2, "MAPERR", 4, 5]);
    // A part of a mapping comes back to where its page offsets go on: one mapping again.
    expect(program.remap(BASE + 21 * PAGE, 1, 1, MAYMOVE | FIXED, BASE + 30 * PAGE)).toBe(BASE + 30 * PAGE);
    expect(program.remap(BASE + 30 * PAGE, 1, 1, MAYMOVE | FIXED, BASE + 21 * PAGE)).toBe(BASE + 21 * PAGE);
    expect(program.areas()).toEqual([
      [20, 2],
      [23, 2],
    ]);
    program.end();
  });

  test("an empty mapping takes the pages of a moved one over, and their anonymous map", () => {
    const program = new Program();
    program.map(BASE, 4);
    program.fill(BASE, 4, 1);
    program.remap(BASE + 2 * PAGE, 2, 2, MAYMOVE | FIXED, BASE + 40 * PAGE);
    // Nobody has written into these two, which lie where the moved pages' offsets lead.
    program.map(BASE + 4 * PAGE, 2);
    expect(program.remap(BASE + 40 * PAGE, 2, 2, MAYMOVE | FIXED, BASE + 2 * PAGE)).toBe(BASE + 2 * PAGE);
    expect(program.areas()).toEqual([[0, 6]]);
    expect(program.words(BASE, 6)).toEqual([1, 2, 3, 4, 0, 0]);
    program.fill(BASE + 4 * PAGE, 2, 5);
    program.end();
  });

  test("whichever object cannot be had, the mapping stays whole", () => {
    const program = new Program();
    program.map(BASE, 5);
    program.fill(BASE, 5, 1);
    const to = BASE + 50 * PAGE;
    const failures = program.withFailures(() => {
      expect(program.words(BASE, 5)).toEqual([1, 2, 3, 4, 5]);
      return program.remap(BASE + PAGE, 2, 3, MAYMOVE | FIXED, to);
    });
    expect(failures).toBeGreaterThan(3);
    // The pages have moved, and then the old mapping could not be cut: as in Linux it stays, and is empty.
    expect(program.words(BASE, 5)).toEqual([1, 0, 0, 4, 5]);
    expect(program.words(to, 3)).toEqual([2, 3, 0]);
    program.end();
  });

  test("refuses what leaves no spare mappings", () => {
    const program = new Program();
    program.map(BASE, 1);
    const count = program.mm + MmStruct.mapCount;
    const { memory } = program.kernel;
    memory.write(count, DEFAULT_VM_SETTINGS.maxMapCount - 5);
    expect(program.remap(BASE, 1, 1, MAYMOVE | FIXED, BASE + 9 * PAGE)).toBe(-Errno.ENOMEM);
    memory.write(count, 1);
    expect(program.remap(BASE, 1, 1, MAYMOVE | FIXED, BASE + 9 * PAGE)).toBe(BASE + 9 * PAGE);
    program.end();
  });

  test.each([
    ["an unknown flag", 0, 1, 1, 8, 0, Errno.EINVAL],
    ["an address within a page", 0.5, 1, 1, 0, 0, Errno.EINVAL],
    ["nothing", 0, 1, 0, 0, 0, Errno.EINVAL],
    ["no mapping", 5, 1, 1, 0, 0, Errno.EFAULT],
    ["a fixed place without leave to move", 0, 1, 1, FIXED, 8, Errno.EINVAL],
    ["an overlap", 0, 2, 2, FIXED | MAYMOVE, 1, Errno.EINVAL],
    ["DONTUNMAP with another size", 0, 1, 2, DONTUNMAP | MAYMOVE, 8, Errno.EINVAL],
    ["a private mapping twice", 0, 0, 1, MAYMOVE, 0, Errno.EINVAL],
    ["more than the mapping has", 1, 2, 3, MAYMOVE, 0, Errno.EFAULT],
    ["more than there is room for", 0, 2, 2 ** 40, MAYMOVE, 0, Errno.EINVAL],
  ])("refuses %s", (_what, page, oldPages, newPages, flags, to, errno) => {
    const program = new Program();
    program.map(BASE, 2);
    program.fill(BASE, 2, 1);
    const result = program.remap(BASE + page * PAGE, oldPages, newPages, flags, BASE + to * PAGE);
    expect(result).toBe(-errno);
    expect(program.words(BASE, 2)).toEqual([1, 2]);
    program.end();
  });
});

describe("fork", () => {
  test("parent and child go separate ways, and the last owner of a page keeps it", () => {
    const program = new Program();
    const { kernel } = program;
    const { processes } = kernel;
    program.map(BASE, 3, MapFlag.LOCKED);
    program.fill(BASE, 2, 1);
    const child = processes.calls.fork(program.mm);
    expect(kernel.memory.readFloat64(child + MmStruct.lockedVm)).toBe(0);
    expect(processes.accounting.committedPages).toBe(6);
    checkSpaces(kernel);
    program.fill(BASE, 1, 10);
    processes.use(child);
    expect(program.words(BASE, 3)).toEqual([1, 2, 0]);
    program.fill(BASE + PAGE, 2, 20);
    checkSpaces(kernel);
    processes.use(program.mm);
    expect(program.words(BASE, 3)).toEqual([10, 2, 0]);
    processes.spaces.put(child);
    program.fill(BASE + PAGE, 1, 30);
    expect(program.words(BASE, 3)).toEqual([10, 30, 0]);
    program.end();
  });

  test("children of children, in any order of their ends", () => {
    const program = new Program();
    const { processes } = program.kernel;
    program.map(BASE, 2);
    program.fill(BASE, 2, 1);
    const line = [program.mm];
    for (let i = 1; i < 6; i++) {
      const child = processes.calls.fork(line[i - 1]);
      processes.use(child);
      expect(program.words(BASE, 2)).toEqual([i === 1 ? 1 : 100 + i - 1, 2]);
      program.fill(BASE, 1, 100 + i);
      line.push(child);
      checkSpaces(program.kernel);
    }
    processes.use(program.mm);
    for (const i of [3, 1, 5, 2, 4]) {
      processes.spaces.put(line[i]);
      checkSpaces(program.kernel);
    }
    expect(program.words(BASE, 2)).toEqual([1, 2]);
    program.end();
  });

  test("whichever object cannot be had, there is no half child", () => {
    const program = new Program();
    program.map(BASE, 2);
    program.map(BASE + 4 * PAGE, 2);
    program.fill(BASE, 2, 1);
    program.fill(BASE + 4 * PAGE, 1, 5);
    let child = 0;
    const failures = program.withFailures(() => {
      child = program.kernel.processes.calls.fork(program.mm);
      return child;
    });
    expect(failures).toBeGreaterThan(6);
    program.kernel.processes.use(child);
    expect(program.words(BASE, 6)).toEqual([1, 2, "MAPERR", "MAPERR", 5, 0]);
    program.kernel.processes.use(program.mm);
    program.kernel.processes.spaces.put(child);
    program.end();
  });

  test("without memory for a table there is no child, and nothing is lost", () => {
    const program = new Program();
    const { kernel } = program;
    const { tables } = kernel.paging;
    program.map(BASE, 1100);
    program.fill(BASE, 1, 1);
    program.fill(BASE + 1050 * PAGE, 1, 2);
    const { pteAllocMapLock } = tables;
    let made = 0;
    tables.pteAllocMapLock = (mm, address) => (++made > 1 ? 0 : pteAllocMapLock.call(tables, mm, address));
    expect(kernel.processes.calls.fork(program.mm)).toBe(-Errno.ENOMEM);
    tables.pteAllocMapLock = pteAllocMapLock;
    expect(program.words(BASE, 1)).toEqual([1]);
    program.fill(BASE, 1, 3);
    expect(program.words(BASE + 1050 * PAGE, 1)).toEqual([2]);
    program.end();
  });
});
