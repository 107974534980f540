/** The kernel's half of every address space, the direct map, rights at kernel addresses, and flushes of them. */

import { describe, expect, test } from "vitest";
import { PageFault } from "../../../src/hardware/page-table-entry.ts";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { frameOf, PAGE_BYTES } from "../../../src/memory/units.ts";
import { VmEvent } from "../../../src/mm/pages/counters.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { UserFault } from "../../../src/mm/shootdown/user-access.ts";
import { checkKernelTables } from "../../../src/mm/vmap/check-kernel-tables.ts";
import {
  DIRECT_MAP_START,
  pointerOfVirtual,
  virtualOf,
  virtualOfPfn,
} from "../../../src/mm/vmap/direct-map.ts";
import { formatAddress } from "../../../src/mm/vmap/vmalloc-space.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { AddressSpace, BASE, PRESENT, USER } from "../../support/address-spaces.ts";
import { kernelsOf } from "../../support/kernels.ts";

const { PROT, WRITE, INSTR } = PageFault;

function machine(config: MachineConfig = {}) {
  const { kernels, check } = kernelsOf({ cpus: 2, ...config });
  const [kernel] = kernels;
  const space = new AddressSpace(kernel);
  kernel.paging.tlb.switchMm(space.mm);
  return { kernels, kernel, space, check, virtual: kernel.virtual, vmap: kernel.vmap };
}

/** The error code of the fault that an access ends with. */
function codeOf(access: () => unknown): number {
  try {
    access();
  } catch (error) {
    if (error instanceof UserFault) return error.code;
    const found = /error_code\(0x([0-9a-f]+)\)/.exec((error as Error).message);
    if (found !== null) return Number.parseInt(found[1], 16);
    throw error;
  }
  throw new Error("no fault");
}

describe.each([4, 5] as const)("the kernel's half, %d levels", (pageLevels) => {
  test("is whole in an address space that is older than the first vmalloc", () => {
    const { kernel, space, check, virtual, vmap } = machine({ pageLevels });
    const address = vmap.vmalloc(3 * PAGE_BYTES);
    virtual.write(address, 77);
    expect(virtual.read(address)).toBe(77);
    // the loaded tables are the address space's own, and no fault was needed
    expect(kernel.cpu.tlb.rootPfn()).toBe(kernel.memory.read(space.mm + MmContext.pgd));
    expect(kernel.cpu.tlb.counts.faults).toBe(0);
    check();
  });

  test("a copy that is not the kernel's is found", () => {
    const { kernel, space, check } = machine({ pageLevels });
    check();
    let at = frameOf(kernel.memory.read(space.mm + MmContext.pgd)) + 512;
    while (kernel.memory.read(at) === 0) at += 2;
    kernel.memory.write(at, 0);
    expect(check).toThrow(/upper half of the top table of address space \d+ is not the kernel's/);
  });
});

describe("the direct map", () => {
  test.each<[string, MachineConfig, number[]]>([
    ["16 MiB", { memory: "16MiB" }, [0, 8, 0]],
    ["1 MiB", { memory: "1MiB" }, [256, 0, 0]],
    ["1 GiB and 4 MiB", { memory: "1028MiB" }, [0, 2, 1]],
    [
      "two ranges with odd ends",
      {
        memory: undefined,
        memoryMap: [
          { startBytes: 0, sizeBytes: 5 * 2 ** 20, node: 0 },
          { startBytes: 8 * 2 ** 20 - 4096, sizeBytes: 8 * 2 ** 20 + 8192, node: 0 },
        ],
      },
      [256 + 2, 2 + 4, 0],
    ],
  ])("of %s has pages as large as fit; each word is where it is", (_name, config, pages) => {
    const { kernel, virtual, vmap, check } = machine(config);
    expect(checkKernelTables(vmap).directPages).toEqual(pages);
    for (const { startPfn, endPfn } of kernel.topology.memory) {
      for (const pfn of [startPfn, startPfn + 1, (startPfn + endPfn) >> 1, endPfn - 1]) {
        const word = frameOf(pfn) + 77;
        expect(virtual.wordAt(virtualOf(word), 0)).toBe(word);
        expect(pointerOfVirtual(virtualOf(word))).toBe(word);
      }
    }
    expect(codeOf(() => virtual.read(virtualOfPfn(kernel.topology.maxPfn)))).toBe(0);
    check();
  });

  test("begins where Linux's does, and one TLB entry reaches 2 MiB of it", () => {
    const { kernel, virtual } = machine({ memory: "16MiB" });
    expect(formatAddress(DIRECT_MAP_START)).toBe("ffff888000000000");
    const { walks } = kernel.cpu.tlb.counts;
    for (let page = 512; page < 1024; page++) virtual.read(virtualOfPfn(page));
    expect(kernel.cpu.tlb.counts.walks - walks).toBe(1);
  });

  test("a wrong entry is found", () => {
    const { kernel, vmap, check } = machine({ memory: "1MiB" });
    const entry = vmap.tables.leafEntry(virtualOfPfn(100));
    kernel.memory.write(entry, kernel.memory.read(entry) + 4096);
    expect(check).toThrow(/D1 ffff888000064000 maps frame 101/);
    kernel.memory.write(entry, 0);
    expect(check).toThrow(/D1 the direct map has 255 frames, memory has 256/);
  });
});

describe("rights", () => {
  test("the kernel's own accesses fault with the processor's codes", () => {
    const { virtual, vmap } = machine();
    const address = vmap.vmalloc(PAGE_BYTES);
    const guard = address + PAGE_BYTES;
    expect(codeOf(() => virtual.read(guard))).toBe(0);
    expect(codeOf(() => virtual.write(guard, 1))).toBe(WRITE);
    expect(codeOf(() => virtual.wordAt(guard, INSTR))).toBe(INSTR);
    expect(codeOf(() => virtual.wordAt(address, INSTR))).toBe(PROT | INSTR);
    expect(codeOf(() => virtual.wordAt(DIRECT_MAP_START, INSTR))).toBe(PROT | INSTR);
    vmap.attributes.readOnly(address, 1);
    expect(virtual.read(address)).toBe(0);
    expect(codeOf(() => virtual.write(address, 1))).toBe(PROT | WRITE);
    vmap.attributes.writable(address, 1);
    virtual.write(address, 5);
    vmap.attributes.executable(address, 1);
    virtual.wordAt(address, INSTR);
    vmap.attributes.notExecutable(address, 1);
    expect(codeOf(() => virtual.wordAt(address, INSTR))).toBe(PROT | INSTR);
    expect(() => vmap.attributes.readOnly(guard, 1)).toThrow(/set_memory: nothing is mapped at ffffc9/);
  });

  test("a program reaches no kernel address, mapped or not", () => {
    const { kernel, virtual, vmap } = machine();
    const { user } = kernel.paging;
    const address = vmap.vmalloc(PAGE_BYTES);
    virtual.write(address, 9);
    for (const mapped of [address, DIRECT_MAP_START + 4096]) {
      expect(codeOf(() => user.read(mapped))).toBe(PROT | PageFault.USER);
      expect(codeOf(() => user.write(mapped, 1))).toBe(PROT | PageFault.USER | WRITE);
      expect(codeOf(() => user.fetch(mapped))).toBe(PROT | PageFault.USER | INSTR);
    }
    expect(codeOf(() => user.read(address + PAGE_BYTES))).toBe(PageFault.USER);
    // no canonical address
    expect(codeOf(() => user.read(2 ** 47))).toBe(PageFault.USER);
  });

  test("a program's own pages: read-only, not executable, the kernel's alone", () => {
    const { kernel, space } = machine();
    const { user } = kernel.paging;
    space.map(BASE, 1, PRESENT | USER);
    space.map(BASE + PAGE_BYTES, 1, PRESENT);
    expect(user.read(BASE)).toBe(1);
    user.fetch(BASE);
    expect(codeOf(() => user.write(BASE, 2))).toBe(PROT | PageFault.USER | WRITE);
    // write protection binds the kernel, too (CR0.WP)
    expect(codeOf(() => user.wordAt(BASE, WRITE))).toBe(PROT | WRITE);
    expect(codeOf(() => user.read(BASE + PAGE_BYTES))).toBe(PROT | PageFault.USER);
    expect(user.wordAt(BASE + PAGE_BYTES, 0)).toBeGreaterThan(0);
  });

  test("a process gets SIGSEGV for kernel addresses and for code in data", () => {
    const [kernel] = kernelsOf({ cpus: 1 }).kernels;
    const { processes, paging, vmap } = kernel;
    processes.start();
    const mm = processes.spaces.make();
    processes.use(mm);
    const request = { address: 0, bytes: PAGE_BYTES, prot: Prot.READ | Prot.WRITE, file: null, offset: 0 };
    const start = processes.calls.mmap(mm, { ...request, flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS });
    paging.user.write(start, 1);
    expect(() => paging.user.fetch(start)).toThrow(UserSignal);
    const secret = vmap.vmalloc(PAGE_BYTES);
    for (const address of [secret, DIRECT_MAP_START, -4096])
      expect(() => paging.user.read(address)).toThrow(UserSignal);
    processes.use(0);
    processes.spaces.put(mm);
  });
});

describe("flushes of kernel addresses", () => {
  const countsOf = ({ kernels }: ReturnType<typeof machine>) =>
    kernels.map(({ cpu }) => ({ ...cpu.tlb.counts }));

  test.each([
    [33, { flushesPage: 33, flushesAll: 0 }],
    [34, { flushesPage: 0, flushesAll: 1 }],
  ])("of %d pages, on every CPU, whatever it has loaded", (pages, expected) => {
    const at = machine({ cpus: 3 });
    const { kernel, kernels, vmap, check } = at;
    const address = vmap.vmalloc(pages * PAGE_BYTES);
    for (const { virtual } of kernels) virtual.write(address, 1);
    const before = countsOf(at);
    const taken = kernels.map(({ cpu }) => cpu.interruptsTaken(2));
    kernel.paging.shootdown.flushKernelRange(address, address + pages * PAGE_BYTES);
    for (const [i, counts] of countsOf(at).entries()) {
      expect(counts.flushesPage - before[i].flushesPage).toBe(expected.flushesPage);
      expect(counts.flushesAll - before[i].flushesAll).toBe(expected.flushesAll);
      expect(kernels[i].cpu.interruptsTaken(2) - taken[i]).toBe(i === 0 ? 0 : 1);
      expect(kernels[i].cpu.tlb.knowsIn(address, pages * PAGE_BYTES)).toBe(false);
    }
    check();
  });

  test("flush_tlb_all is counted, once sent and received by all", () => {
    const { kernel, kernels } = machine({ cpus: 3 });
    const total = (event: number): number => kernel.pages.vmstat.eventTotal(event);
    const events = [VmEvent.nr_tlb_remote_flush, VmEvent.nr_tlb_remote_flush_received];
    const before = events.map(total);
    for (const { virtual } of kernels) virtual.read(DIRECT_MAP_START + 4096);
    kernel.paging.shootdown.flushAll();
    expect(events.map((event, i) => total(event) - before[i])).toEqual([1, 3]);
    for (const { cpu } of kernels) expect(cpu.tlb.entries()).toEqual([]);
  });

  test("a right that is withdrawn is gone on every CPU", () => {
    const { kernels, vmap } = machine();
    const address = vmap.vmalloc(PAGE_BYTES);
    for (const { virtual } of kernels) virtual.write(address, 1);
    vmap.attributes.readOnly(address, 1);
    for (const { virtual } of kernels) expect(codeOf(() => virtual.write(address, 2))).toBe(PROT | WRITE);
  });

  test("global entries survive switches of address spaces, and flushes of these", () => {
    const { kernel, space, virtual, vmap } = machine();
    const other = new AddressSpace(kernel);
    const address = vmap.vmalloc(PAGE_BYTES);
    virtual.write(address, 3);
    const { walks } = kernel.cpu.tlb.counts;
    for (const mm of [other.mm, space.mm, kernel.paging.tlb.initMm, space.mm]) {
      kernel.paging.tlb.switchMm(mm);
      kernel.paging.shootdown.flushMm(space.mm);
      expect(virtual.read(address)).toBe(3);
    }
    expect(kernel.cpu.tlb.counts.walks).toBe(walks);
    kernel.paging.shootdown.flushAll();
    expect(virtual.read(address)).toBe(3);
    expect(kernel.cpu.tlb.counts.walks).toBe(walks + 1);
  });
});
