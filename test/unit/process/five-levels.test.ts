/** Five levels of page tables: addresses above 2^47 for who asks for them, and everything as before for who does not. */

import { expect, test } from "vitest";
import { PAGE_BYTES } from "../../../src/memory/units.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { MremapFlag } from "../../../src/process/mremap.ts";
import { UserSignal } from "../../../src/process/user-signal.ts";
import { contextOf } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

const WINDOW_END = 2 ** 47 - PAGE_BYTES;
const TOP = 2 ** 53 - PAGE_BYTES;
const HIGH = 2 ** 50;
const ENOMEM = -12;

function machine(pageLevels: 4 | 5) {
  const { kernels, check } = kernelsOf({ cpus: 2, pageLevels });
  const [kernel, other] = kernels;
  const { processes, paging, memory } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  for (const { processes: own } of kernels) own.use(mm);
  const map = (address: number, pages = 1, extra = 0): number =>
    processes.calls.mmap(mm, {
      address,
      bytes: pages * PAGE_BYTES,
      prot: Prot.READ | Prot.WRITE,
      flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS | extra,
      file: null,
      offset: 0,
    });
  const tables = (): number => memory.read(contextOf(mm) + MmContext.tableBytes) / PAGE_BYTES;
  const end = (): void => {
    for (const { processes: own } of kernels) own.use(0);
    processes.spaces.put(mm);
    kernel.rcu.barrier();
    check();
  };
  return { kernel, other, mm, map, tables, check, end, user: paging.user, calls: processes.calls };
}

test("a mapping goes above 2^47 only with a hint above it", () => {
  const { map, end } = machine(5);
  expect(map(0)).toBe(WINDOW_END - PAGE_BYTES);
  expect(map(HIGH)).toBe(HIGH);
  // taken: the highest place there is
  expect(map(HIGH)).toBe(TOP - PAGE_BYTES);
  expect(map(WINDOW_END + PAGE_BYTES)).toBe(WINDOW_END + PAGE_BYTES);
  // a hint below it is no wish for more, even where the mapping would reach above
  expect(map(WINDOW_END, 2)).toBeLessThan(WINDOW_END);
  expect(map(HIGH + 8 * PAGE_BYTES, 1, MapFlag.FIXED)).toBe(HIGH + 8 * PAGE_BYTES);
  expect(map(TOP, 1, MapFlag.FIXED)).toBe(ENOMEM);
  end();
});

test("with four levels there is nothing above", () => {
  const { map, end, user } = machine(4);
  expect(map(HIGH)).toBe(WINDOW_END - PAGE_BYTES);
  expect(map(HIGH, 1, MapFlag.FIXED)).toBe(ENOMEM);
  expect(() => user.read(HIGH)).toThrow(UserSignal);
  end();
});

test("pages there are walked to, flushed on all CPUs, moved, copied by fork, and freed with their tables", () => {
  const { kernel, other, mm, map, tables, check, end, user, calls } = machine(5);
  map(HIGH, 2);
  user.write(HIGH, 7);
  expect(tables()).toBe(4);
  expect(other.paging.user.read(HIGH)).toBe(7);
  // the same low bits: another page
  map(HIGH % 2 ** 48 || 2 ** 40, 1, MapFlag.FIXED);
  user.write(2 ** 40, 8);
  expect([user.read(HIGH), user.read(2 ** 40)]).toEqual([7, 8]);
  const child = calls.fork(mm);
  user.write(HIGH, 9);
  kernel.processes.use(child);
  expect(user.read(HIGH)).toBe(7);
  kernel.processes.use(mm);
  kernel.processes.spaces.put(child);
  const request = { address: HIGH, oldBytes: PAGE_BYTES, newBytes: PAGE_BYTES };
  const to = 2 ** 52;
  expect(calls.mremap(mm, { ...request, flags: MremapFlag.MAYMOVE | MremapFlag.FIXED, to })).toBe(to);
  expect(other.paging.user.read(to)).toBe(9);
  expect(() => other.paging.user.read(HIGH)).toThrow(UserSignal);
  kernel.rcu.barrier();
  check();
  expect(calls.munmap(mm, 0, TOP)).toBe(0);
  expect(tables()).toBe(0);
  for (const address of [to, 2 ** 40]) expect(() => other.paging.user.read(address)).toThrow(UserSignal);
  end();
});
