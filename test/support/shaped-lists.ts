/** What page lists do under other rules: run by in-shape.ts, with plain data as results. */

import { Gfp, GfpFlag } from "../../src/mm/pages/gfp.ts";
import { Page } from "../../src/mm/pages/page.ts";
import { pcpField, setPcpField } from "./free-lists.ts";
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
