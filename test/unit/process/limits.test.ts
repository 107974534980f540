/** Limits, overcommitment and privileges: what is refused, and with which errno. */

import { describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { resolveConfig } from "../../../src/machine/config.ts";
import { Errno } from "../../../src/memory/errno.ts";
import { Overcommit } from "../../../src/process/accounting.ts";
import { checkSpaces } from "../../../src/process/check-spaces.ts";
import { MlockallFlag } from "../../../src/process/mlock.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import type { MmRef } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { ALL_CAPABILITIES } from "../../../src/process/vm-settings.ts";
import { meminfo } from "../../../src/procfs/meminfo.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const RW = Prot.READ | Prot.WRITE;
const { PRIVATE, ANONYMOUS, FIXED, SHARED, NORESERVE, LOCKED } = MapFlag;
const { EAGAIN, ENOMEM, EPERM } = Errno;
const MIB = 2 ** 20;

class Program {
  readonly machine;
  readonly kernel;
  readonly mm: MmRef;

  constructor(config: MachineConfig = {}) {
    this.machine = kernelsOf({ cpus: 1, ...config });
    [this.kernel] = this.machine.kernels;
    this.kernel.processes.start();
    this.mm = this.kernel.processes.spaces.make();
    this.kernel.processes.use(this.mm);
  }

  get calls() {
    return this.kernel.processes.calls;
  }

  map(pages: number, flags = 0, address = BASE, prot: number = RW): number {
    const all = flags | ANONYMOUS | FIXED | ((flags & SHARED) === 0 ? PRIVATE : 0);
    return this.calls.mmap(this.mm, {
      address,
      bytes: pages * PAGE,
      prot,
      flags: all,
      file: null,
      offset: 0,
    });
  }

  end(): void {
    const { processes, rcu, cpu } = this.kernel;
    checkSpaces(this.kernel);
    processes.use(0);
    processes.spaces.put(this.mm);
    expect(processes.accounting.committedPages).toBe(0);
    rcu.barrier();
    cpu.endOperation();
    this.machine.check();
  }
}

describe("vm.overcommit_memory", () => {
  test("0: one request may not ask for more than all memory, many together may", () => {
    const program = new Program();
    expect(program.map(16 * 256)).toBe(-ENOMEM);
    expect(program.map(16 * 256, NORESERVE)).toBe(BASE);
    for (let i = 1; i < 9; i++) expect(program.map(3000, 0, BASE + i * 2 ** 30)).toBe(BASE + i * 2 ** 30);
    program.end();
  });

  test("1: anything", () => {
    const program = new Program({ overcommitMemory: 1 });
    expect(program.map(2 ** 26)).toBe(BASE);
    expect(program.kernel.processes.accounting.committedPages).toBe(2 ** 26);
    program.end();
  });

  test("2: no more than the limit together, and NORESERVE means nothing", () => {
    const program = new Program({ overcommitMemory: 2, overcommitKbytes: 4096, userReserveKbytes: 0 });
    expect(program.map(900, NORESERVE)).toBe(BASE);
    // Below the limit, not at it; what a CPU has collected and not added yet, up to 32 pages, is not seen.
    expect(program.map(124, 0, BASE + MIB * 64)).toBe(-ENOMEM);
    expect(program.map(123, SHARED, BASE + MIB * 64)).toBe(BASE + MIB * 64);
    expect(program.calls.mremap(program.mm, grown(BASE, 900, 940))).toBe(-ENOMEM);
    expect(program.calls.fork(program.mm)).toBe(-ENOMEM);
    expect(program.calls.munmap(program.mm, BASE, 500 * PAGE)).toBe(0);
    // Not written to yet, not committed; mprotect makes it so.
    expect(program.map(600, 0, BASE + MIB * 128, Prot.READ)).toBe(BASE + MIB * 128);
    expect(program.calls.mprotect(program.mm, BASE + MIB * 128, 600 * PAGE, RW)).toBe(-ENOMEM);
    expect(program.calls.mprotect(program.mm, BASE + MIB * 128, 400 * PAGE, RW)).toBe(0);
    program.end();
  });

  test("2: a percentage of memory, less what is kept for administrators and for recovery", () => {
    const settings = { overcommitMemory: 2, overcommitRatio: 25, adminReserveKbytes: 400, privileged: false };
    const program = new Program({ ...settings, userReserveKbytes: 40 });
    const { accounting, spaces } = program.kernel.processes;
    const { limitPages } = accounting;
    expect(limitPages).toBeGreaterThan(700);
    expect(limitPages).toBeLessThanOrEqual(1024);
    expect(program.map(limitPages - 100)).toBe(-ENOMEM);
    expect(program.map(limitPages - 101)).toBe(BASE);
    // Ten pages are kept for recovery now that the address space has more than 320.
    spaces.setCapabilities(program.mm, ALL_CAPABILITIES);
    expect(program.map(91, 0, BASE + MIB * 64)).toBe(-ENOMEM);
    expect(program.map(90, 0, BASE + MIB * 64)).toBe(BASE + MIB * 64);
    const lines = meminfo(program.kernel);
    expect(lines).toMatch(
      new RegExp(`CommitLimit: +${limitPages * 4} kB\nCommitted_AS: +${(limitPages - 11) * 4} kB\n`),
    );
    program.end();
  });

  test("2: CPUs collect less before they add to the common count, so that the limit holds nearly", () => {
    const committed = (overcommitMemory: number): number => {
      const machine = kernelsOf({ cpus: 4, memory: "256MiB", overcommitMemory, userReserveKbytes: 0 });
      const [first] = machine.kernels;
      first.processes.start();
      const { accounting } = first.processes;
      if (overcommitMemory === Overcommit.NEVER) expect(accounting.limitPages).toBeLessThan(33_000);
      let pages = 0;
      for (const { processes } of machine.kernels)
        for (let i = 0; i < 100 && processes.accounting.commit(0, 100); i++) pages += 100;
      return pages;
    };
    expect(committed(Overcommit.GUESS)).toBe(40_000);
    // A quarter of memory by CPUs could stay unseen by the rule of the other modes.
    const limit = kernelsOf({ cpus: 1, memory: "256MiB" }).kernels[0].processes.accounting.limitPages;
    expect(committed(Overcommit.NEVER)).toBeLessThan(limit + 4 * 64);
  });
});

const grown = (address: number, from: number, to: number) => ({
  address,
  oldBytes: from * PAGE,
  newBytes: to * PAGE,
  flags: 0,
  to: 0,
});

describe("limits", () => {
  test("RLIMIT_AS and RLIMIT_DATA: ENOMEM, and the heap stays", () => {
    const program = new Program({ rlimitAs: 10 * PAGE, rlimitData: `${8 * 4}KiB` });
    program.kernel.processes.spaces.placeHeap(program.mm, BASE * 2);
    expect(program.map(11, 0, BASE, Prot.READ)).toBe(-ENOMEM);
    expect(program.map(9)).toBe(-ENOMEM);
    expect(program.map(6)).toBe(BASE);
    expect(program.calls.brk(program.mm, BASE * 2 + 3 * PAGE)).toBe(BASE * 2);
    expect(program.calls.brk(program.mm, BASE * 2 + 2 * PAGE)).toBe(BASE * 2 + 2 * PAGE);
    // Shared memory is no data.
    expect(program.map(2, SHARED, BASE + MIB)).toBe(BASE + MIB);
    expect(program.map(1, SHARED, BASE + 2 * MIB)).toBe(-ENOMEM);
    program.end();
  });

  test("RLIMIT_MEMLOCK: mlock ENOMEM, mmap EAGAIN, and what is locked already does not count twice", () => {
    const program = new Program({ rlimitMemlock: 8 * PAGE, privileged: false });
    const { locking } = program.calls;
    expect(program.map(10)).toBe(BASE);
    expect(locking.mlock(program.mm, BASE, 9 * PAGE)).toBe(-ENOMEM);
    expect(locking.mlock(program.mm, BASE, 6 * PAGE)).toBe(0);
    expect(locking.mlock(program.mm, BASE, 8 * PAGE)).toBe(0);
    expect(locking.mlock(program.mm, BASE + 8 * PAGE, PAGE)).toBe(-ENOMEM);
    expect(program.map(1, LOCKED, BASE + MIB)).toBe(-EAGAIN);
    expect(locking.mlockall(program.mm, MlockallFlag.CURRENT)).toBe(-ENOMEM);
    expect(locking.mlockall(program.mm, MlockallFlag.FUTURE)).toBe(0);
    expect(program.map(1, 0, BASE + MIB)).toBe(-EAGAIN);
    program.end();
  });

  test("without any right to lock it is EPERM, unless privileged", () => {
    const program = new Program({ rlimitMemlock: 0, privileged: false });
    const { locking } = program.calls;
    program.map(2);
    expect(locking.mlock(program.mm, BASE, PAGE)).toBe(-EPERM);
    expect(locking.mlockall(program.mm, MlockallFlag.FUTURE)).toBe(-EPERM);
    expect(program.map(1, LOCKED, BASE + MIB)).toBe(-EPERM);
    program.kernel.processes.spaces.setCapabilities(program.mm, ALL_CAPABILITIES);
    expect(locking.mlock(program.mm, BASE, PAGE)).toBe(0);
    expect(program.map(1, LOCKED, BASE + MIB)).toBe(BASE + MIB);
    program.end();
  });

  test("vm.max_map_count and vm.mmap_min_addr", () => {
    const program = new Program({ maxMapCount: 4, mmapMinAddr: 65_536, privileged: false });
    expect(program.map(1, 0, 32_768)).toBe(-EPERM);
    expect(program.map(1, 0, 65_536)).toBe(65_536);
    expect(program.map(9)).toBe(BASE);
    expect(program.calls.mprotect(program.mm, BASE + PAGE, PAGE, Prot.READ)).toBe(0);
    expect(program.calls.mprotect(program.mm, BASE + 5 * PAGE, PAGE, Prot.READ)).toBe(-ENOMEM);
    expect(program.calls.munmap(program.mm, BASE + 5 * PAGE, PAGE)).toBe(-ENOMEM);
    expect(program.calls.munmap(program.mm, BASE + 8 * PAGE, PAGE)).toBe(0);
    // One more than the limit is possible, as on a real machine, and no second.
    expect(program.map(1, 0, BASE + MIB)).toBe(BASE + MIB);
    expect(program.map(1, 0, BASE + 2 * MIB)).toBe(-ENOMEM);
    program.end();
  });

  test("a child has its parent's limits and capabilities", () => {
    const program = new Program({ rlimitAs: 4 * PAGE, rlimitMemlock: 0, privileged: false });
    program.map(2);
    const { calls, kernel } = program;
    const child = calls.fork(program.mm);
    const request = { address: BASE + MIB, bytes: 3 * PAGE, prot: RW, file: null, offset: 0 };
    expect(calls.mmap(child, { ...request, flags: PRIVATE | ANONYMOUS })).toBe(-ENOMEM);
    expect(calls.locking.mlock(child, BASE, PAGE)).toBe(-EPERM);
    kernel.processes.spaces.put(child);
    program.end();
  });
});

test("a setting that is out of range is refused with the range", () => {
  const refusal = (config: MachineConfig): string => {
    try {
      resolveConfig(config);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  expect(refusal({ overcommitMemory: 3 })).toBe(
    "overcommitMemory: 3 is not valid; valid are whole numbers from 0 to 2",
  );
  expect(refusal({ rlimitAs: "much" })).toMatch(/^rlimitAs: "much" is not a size/);
  expect(refusal({ rlimitStack: -1 })).toBe(
    'rlimitStack: -1 is not valid; valid are whole numbers of bytes and "unlimited"',
  );
  expect(refusal({ rlimitMemlock: "unlimited" })).toBe("");
});
