import { expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { pageFixture } from "../../support/page-fixture.ts";

test("all frames come out once and go back", () => {
  const machine = pageFixture({ zones: [{ startPfn: 16, pages: 4096 }] });
  expect(machine.check()).toBe(4096);
  const held: number[] = [];
  for (;;) {
    const pfn = machine.pages.allocPages(Gfp.KERNEL, 0);
    if (pfn === 0) break;
    held.push(pfn);
  }
  expect(new Set(held).size).toBe(4096);
  machine.check();
  for (const pfn of held) machine.pages.freePages(pfn, 0);
  expect(machine.check()).toBe(4096);
  const big = machine.pages.allocPages(Gfp.NOWAIT | GfpFlag.ZERO | GfpFlag.COMP, 9);
  expect(big).toBeGreaterThan(0);
  machine.check();
  machine.pages.freePages(big, 9);
  machine.pages.drain.all();
  expect(machine.check()).toBe(4096);
});
