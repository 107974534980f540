/** What page lists do under other shapes: run by in-shape.ts, with plain data as results. */

import { Gfp, GfpFlag } from "../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../src/mm/pages/migrate-types.ts";
import { Page } from "../../src/mm/pages/page.ts";
import { Zone } from "../../src/mm/pages/zone.ts";
import { give, pcpField, setPcpField, take } from "./free-lists.ts";
import { type PageFixture, pageFixture } from "./page-fixture.ts";

const machineOf = (sizes: { batch: number; highMin: number; highMax?: number; cpus?: number }): PageFixture =>
  pageFixture({
    cpus: sizes.cpus ?? 1,
    zones: [{ startPfn: 1024, pages: 4096, min: 10, ...sizes, highMax: sizes.highMax ?? sizes.highMin }],
  });

const alloc = (machine: PageFixture, order = 0): number =>
  machine.pages.allocPages(Gfp.KERNEL | GfpFlag.MOVABLE, order);

/** Pages given back at each bulk free, while a CPU only frees. */
export function bulkFrees(): number[] {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const pfns = Array.from({ length: 400 }, () => alloc(machine));
  machine.pages.drain.cpu(0);
  setPcpField(machine, "freeCount", 0);
  const sizes: number[] = [];
  let before = 0;
  for (const pfn of pfns) {
    machine.pages.freePage(pfn);
    const count = pcpField(machine, "count");
    if (count <= before) sizes.push(before + 1 - count);
    before = count;
  }
  machine.check();
  return sizes;
}

/** Pages fetched at each refill, while a CPU only allocates. */
export function refills(): number[] {
  const machine = machineOf({ batch: 4, highMin: 60, highMax: 400 });
  return Array.from({ length: 4 }, () => {
    while (pcpField(machine, "count") > 0) alloc(machine);
    alloc(machine);
    return pcpField(machine, "count") + 1;
  });
}

/** Blocks of order 2 in a row: what is left on the list after each free. */
export function freesOfOrder2(): number[] {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const pfns = Array.from({ length: 20 }, () => alloc(machine, 2));
  machine.pages.drain.cpu(0);
  setPcpField(machine, "freeCount", 1);
  return pfns.slice(0, 3).map((pfn) => {
    machine.pages.freePages(pfn, 2);
    return pcpField(machine, "count");
  });
}

/** Whether a bad tail is found when its block comes to the list, before it is given out. */
export function badTailAtRefill(): string {
  const machine = machineOf({ batch: 8, highMin: 60 });
  machine.memory.write(machine.pages.frames.pageOf(1024 + 7) + Page.refcount, 1);
  try {
    alloc(machine, 2);
  } catch (error) {
    return (error as Error).message.split("\n")[0];
  }
  return "";
}

/** Pages on the lists after an allocation and a free of each order. */
export function listedAfterPairs(): number[] {
  const machine = machineOf({ batch: 4, highMin: 60 });
  return [0, 1, 3, 9].map((order) => {
    machine.pages.freePages(alloc(machine, order), order);
    return pcpField(machine, "count");
  });
}

/** What the check says after blocks came back beside a free block of another order. */
export function mergeUnchecked(): string {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const [pair, single] = [take(machine, 1), take(machine, 0)];
  take(machine, 0);
  give(machine, single, 0);
  give(machine, pair, 1);
  return messageOf(() => machine.check());
}

/** Whether a fold of a counter is a marked addition. */
export function foldIsMarked(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const at = machine.zones[0] + Zone.stat;
  return marks(machine, at, () => machine.pages.vmstat.modZone(machine.zones[0], 0, 16));
}

/** Whether a free to the zone takes its lock. */
export function freeTakesLock(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const pfn = alloc(machine, 4);
  let taken = false;
  const lock = machine.locks[0];
  const takeLock = lock.lockIrqSave.bind(lock);
  lock.lockIrqSave = (address) => {
    taken = true;
    return takeLock(address);
  };
  machine.pages.freePages(pfn, 4);
  return taken;
}

/** The type under which a page comes back whose pageblock changes while the free waits for the lock. */
export function typeReadUnderLock(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const pfn = alloc(machine, 4);
  const lock = machine.locks[0];
  const take = lock.lockIrqSave.bind(lock);
  lock.lockIrqSave = (address) => {
    machine.pages.buddy.convertBlock(machine.zones[0], pfn & ~511, MigrateType.MOVABLE, MigrateType.ISOLATE);
    return take(address);
  };
  machine.pages.freePages(pfn, 4);
  lock.lockIrqSave = take;
  return messageOf(() => machine.check()) === "";
}

/** Whether a drain takes the list's lock. */
export function drainTakesLock(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  machine.pages.freePage(alloc(machine));
  return locksList(machine, "lock", () => machine.pages.drain.cpu(0));
}

/** Whether an allocation tries the list's lock. */
export function takeTriesLock(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  return locksList(machine, "tryLock", () => alloc(machine));
}

function locksList(machine: PageFixture, how: "lock" | "tryLock", action: () => void): boolean {
  const locks = machine.locks[0];
  const original = locks[how].bind(locks);
  const pcp = machine.pages.lists.listsOf(machine.zones[0], 0);
  let taken = false;
  locks[how] = (address: number): never => {
    taken ||= address === pcp;
    return original(address) as never;
  };
  action();
  return taken;
}

/** Whether a reference is dropped by a marked addition. */
export function putIsMarked(): boolean {
  const machine = machineOf({ batch: 4, highMin: 60 });
  const pfn = alloc(machine);
  return marks(machine, machine.pages.frames.pageOf(pfn) + Page.refcount, () => machine.pages.putPage(pfn));
}

/** Whether `action` adds to `address` by a marked access. */
function marks({ memory }: PageFixture, address: number, action: () => void): boolean {
  const add = memory.add.bind(memory);
  let marked = false;
  memory.add = (at, value) => {
    marked ||= at === address;
    return add(at, value);
  };
  action();
  return marked;
}

function messageOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message.split("\n")[0];
  }
  return "";
}
