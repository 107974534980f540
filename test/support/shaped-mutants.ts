/** What the mutants of the page allocator leave out: run by in-shape.ts, with plain data as results. */

import { Gfp, GfpFlag } from "../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../src/mm/pages/migrate-types.ts";
import { Page } from "../../src/mm/pages/page.ts";
import { Zone } from "../../src/mm/pages/zone.ts";
import { give, take } from "./free-lists.ts";
import { type PageFixture, pageFixture } from "./page-fixture.ts";

const machineOf = (): PageFixture =>
  pageFixture({ zones: [{ startPfn: 1024, pages: 4096, min: 10, batch: 4, highMin: 60, highMax: 60 }] });

const alloc = (machine: PageFixture, order = 0): number =>
  machine.pages.allocPages(Gfp.KERNEL | GfpFlag.MOVABLE, order);

/** What the check says after blocks came back beside a free block of another order. */
export function mergeUnchecked(): string {
  const machine = machineOf();
  const [pair, single] = [take(machine, 1), take(machine, 0)];
  take(machine, 0);
  give(machine, single, 0);
  give(machine, pair, 1);
  return messageOf(() => machine.check());
}

/** Whether a fold of a counter is a marked addition. */
export function foldIsMarked(): boolean {
  const machine = machineOf();
  const at = machine.zones[0] + Zone.stat;
  return marks(machine, at, () => machine.pages.vmstat.modZone(machine.zones[0], 0, 16));
}

/** Whether a free to the zone takes its lock. */
export function freeTakesLock(): boolean {
  const machine = machineOf();
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
  const machine = machineOf();
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
  const machine = machineOf();
  machine.pages.freePage(alloc(machine));
  return locksList(machine, "lock", () => machine.pages.drain.cpu(0));
}

/** Whether an allocation tries the list's lock. */
export function takeTriesLock(): boolean {
  const machine = machineOf();
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
  const machine = machineOf();
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
