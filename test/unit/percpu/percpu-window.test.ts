import fc from "fast-check";
import { expect, test } from "vitest";
import { topologyOf } from "../../../src/hardware/topology.ts";
import { PerCpuWindow, planWindow } from "../../../src/mm/percpu/percpu-window.ts";

const MIB = 2 ** 20;

/** Goal: no word belongs to two units.  Method: every area's units, against each other and the window's ends. */
test("areas of any unit, stride and number of CPUs share no word, and are found by their addresses", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 0, max: 60 }),
      (cpus, unitPages, more, pages) => {
        const [unitWords, strideWords] = [unitPages * 1024, (unitPages + more) * 1024];
        const window = new PerCpuWindow({ startPfn: 7, pages }, { cpus, unitWords, strideWords });
        const owner = new Map<number, string>();
        for (let area = 0; area < window.areas; area++) {
          const base = window.baseOf(area);
          expect(window.areaOf(base)).toBe(area);
          expect(window.areaOf(base + unitWords - 1)).toBe(area);
          for (let cpu = 0; cpu < cpus; cpu++) {
            for (let page = 0; page < unitPages; page++) {
              const pfn = base / 1024 + cpu * (strideWords / 1024) + page;
              expect(owner.get(pfn)).toBeUndefined();
              owner.set(pfn, `${area}.${cpu}`);
              expect(pfn).toBeGreaterThanOrEqual(7);
              expect(pfn).toBeLessThan(7 + pages);
            }
          }
        }
        expect(window.areaOf(7 * 1024 - 1)).toBe(-1);
        expect(window.areaOf((7 + pages) * 1024 + 5)).toBe(-1);
        if (more === 0) expect(window.areas).toBe(Math.floor(pages / (cpus * unitPages)));
      },
    ),
    { seed: 2, numRuns: 300 },
  );
});

test("the window is a quarter of memory, reaches over all nodes, and ends where pointers do", () => {
  const plan = (nodes: number, memoryBytes: number, endPfn: number) =>
    planWindow(topologyOf({ cpus: 4, nodes, memoryBytes }), endPfn);
  expect(plan(1, 64 * MIB, 16_384)).toEqual({ startPfn: 16_384, pages: 4096 });
  expect(plan(2, 64 * MIB, 16_640)).toEqual({ startPfn: 16_640, pages: 4096 + 16_384 });
  expect(plan(1, 64 * MIB, 2 ** 21 - 10).pages).toBe(10);
  expect(plan(1, 64 * MIB, 2 ** 21).pages).toBe(0);
  const none = new PerCpuWindow({ startPfn: 5, pages: 0 }, { cpus: 4, unitWords: 1024, strideWords: 1024 });
  expect(none.areas).toBe(0);
  expect(none.areaOf(5 * 1024)).toBe(-1);
});
