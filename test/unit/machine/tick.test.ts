/** The timer tick on one thread. */

import { describe, expect, test } from "vitest";
import type { Cpu } from "../../../src/hardware/cpu.ts";
import { Vector } from "../../../src/hardware/vectors.ts";
import { installTick } from "../../../src/machine/tick.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { PerCpuPages } from "../../../src/mm/pages/per-cpu-pages.ts";
import { pageFixture } from "../../support/page-fixture.ts";
import { soloCpu } from "../../support/solo.ts";

function tickingCpu(): { cpu: Cpu; ticks: string[] } {
  const { cpu } = soloCpu();
  const ticks: string[] = [];
  const during = (what: string): void => void ticks.push(cpu.inInterrupt ? `${what} in interrupt` : what);
  installTick(cpu, { tick: () => during("rcu") }, { tick: () => during("pages") }, { tick: () => {} });
  return { cpu, ticks };
}

describe("a tick", () => {
  test("does its work in the interrupt", () => {
    const { cpu, ticks } = tickingCpu();
    cpu.raiseHere(Vector.TIMER);
    cpu.poll();
    expect(ticks).toEqual(["rcu in interrupt", "pages in interrupt"]);
  });

  test("leaves a page list alone that its own CPU has locked", () => {
    const machine = pageFixture({ cpus: 1, zones: [{ startPfn: 1024, pages: 1024 }] });
    const { pages, memory } = machine;
    const [cpu] = machine.cpus;
    const [locks] = machine.locks;
    installTick(cpu, { tick: () => {} }, { tick: () => void pages.updateVmstat() }, { tick: () => {} });
    const pcp = pages.lists.listsOf(machine.zones[0], 0);
    pages.freePage(pages.allocPage(Gfp.KERNEL));
    // More pages than the list may keep: the update gives them back.
    memory.write(pcp + PerCpuPages.high, 0);
    memory.write(pcp + PerCpuPages.highMin, 0);
    locks.lock(pcp);
    cpu.raiseHere(Vector.TIMER);
    cpu.poll();
    expect(memory.read(pcp + PerCpuPages.count)).toBeGreaterThan(0);
    locks.unlock(pcp);
    cpu.raiseHere(Vector.TIMER);
    cpu.poll();
    expect(memory.read(pcp + PerCpuPages.count)).toBe(0);
  });

  test("comes every 4 ms to a CPU that ends operations", () => {
    const { cpu, ticks } = tickingCpu();
    const start = cpu.nowNs();
    while (cpu.nowNs() < start + 30e6) cpu.endOperation();
    const taken = cpu.interruptsTaken(Vector.TIMER);
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThanOrEqual((cpu.nowNs() - start) / 4e6 + 1);
    expect(ticks.filter((what) => what.startsWith("pages"))).toHaveLength(taken);
  });
});
