import { describe, expect, test } from "vitest";
import { NodeStat, NumaStat, VmEvent, ZoneStat } from "../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { PerCpuPages } from "../../../src/mm/pages/per-cpu-pages.ts";
import { EVENT_CARRY, PerCpuZonestat, VmEventState } from "../../../src/mm/pages/per-cpu-stats.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const MLOCK = ZoneStat.nr_mlock;
const machineOf = (threshold: number, cpus = 2): PageFixture =>
  pageFixture({ cpus, threshold, zones: [{ startPfn: 1024, pages: 1024 }] });

const folded = ({ memory, zones }: PageFixture, item: number): number =>
  memory.read(zones[0] + Zone.stat + item);
const total = ({ memory, pages }: PageFixture, item: number): number =>
  memory.read(pages.frames.globals + PageGlobals.zoneStat + item);

describe("zone counters", () => {
  test("stay with their CPU up to the threshold and are folded beyond it", () => {
    const machine = machineOf(10);
    const [a, b] = machine.allocators.map((pages) => pages.vmstat);
    const zone = machine.zones[0];
    a.modZone(zone, MLOCK, 10);
    expect(folded(machine, MLOCK)).toBe(0);
    b.modZone(zone, MLOCK, -4);
    expect(a.zoneStateSnapshot(zone, MLOCK)).toBe(6);
    a.modZone(zone, MLOCK, 1);
    expect(folded(machine, MLOCK)).toBe(11);
    expect(total(machine, MLOCK)).toBe(11);
    b.modZone(zone, MLOCK, -6);
    expect(folded(machine, MLOCK)).toBe(11);
    b.modZone(zone, MLOCK, -1);
    expect(folded(machine, MLOCK)).toBe(0);
    machine.check();
  });

  test("single steps fold half a threshold more, so that the next fold is further away", () => {
    const machine = machineOf(8);
    const { vmstat } = machine.pages;
    const zone = machine.zones[0];
    for (let i = 0; i < 8; i++) vmstat.incZone(zone, MLOCK);
    expect(folded(machine, MLOCK)).toBe(0);
    vmstat.incZone(zone, MLOCK);
    expect(folded(machine, MLOCK)).toBe(9 + 4);
    expect(vmstat.zoneStateSnapshot(zone, MLOCK)).toBe(9);
    for (let i = 0; i < 4; i++) vmstat.decZone(zone, MLOCK);
    expect(folded(machine, MLOCK)).toBe(13);
    vmstat.decZone(zone, MLOCK);
    expect(folded(machine, MLOCK)).toBe(13 - 9 - 4);
    expect(vmstat.zoneStateSnapshot(zone, MLOCK)).toBe(4);
    machine.check();
  });

  test("are never shown below 0, though the folded part may be", () => {
    const machine = machineOf(5);
    machine.pages.vmstat.modZone(machine.zones[0], MLOCK, 4);
    machine.allocators[1].vmstat.modZone(machine.zones[0], MLOCK, -6);
    expect(folded(machine, MLOCK)).toBe(-6);
    expect(machine.pages.vmstat.zoneState(machine.zones[0], MLOCK)).toBe(0);
    expect(machine.pages.vmstat.globalZoneState(MLOCK)).toBe(0);
  });
});

test("node counters work alike", () => {
  const machine = machineOf(3);
  const node = machine.pages.frames.nodeAt(0);
  const { vmstat } = machine.pages;
  vmstat.modNode(node, NodeStat.nr_anon_pages, 3);
  expect(vmstat.nodeState(node, NodeStat.nr_anon_pages)).toBe(0);
  expect(vmstat.nodeStateSnapshot(node, NodeStat.nr_anon_pages)).toBe(3);
  vmstat.modNode(node, NodeStat.nr_anon_pages, 1);
  expect(vmstat.nodeState(node, NodeStat.nr_anon_pages)).toBe(4);
  expect(vmstat.globalNodeState(NodeStat.nr_anon_pages)).toBe(4);
  machine.check();
});

describe("the periodic update", () => {
  test("folds this CPU's deltas and nobody else's", () => {
    const machine = machineOf(50);
    const [a, b] = machine.allocators;
    const zone = machine.zones[0];
    const node = a.frames.nodeAt(0);
    a.vmstat.modZone(zone, MLOCK, 7);
    b.vmstat.modZone(zone, MLOCK, 5);
    a.vmstat.modNode(node, NodeStat.nr_dirty, 2);
    a.updateVmstat();
    expect(folded(machine, MLOCK)).toBe(7);
    expect(a.vmstat.nodeState(node, NodeStat.nr_dirty)).toBe(2);
    b.updateVmstat();
    expect(folded(machine, MLOCK)).toBe(12);
    expect(a.updateVmstat()).toBe(false);
    machine.check();
  });

  test("comes once a second", () => {
    const machine = machineOf(50, 1);
    const { pages, memory } = machine;
    const due = memory.read(pages.frames.globals + PageGlobals.events) + VmEventState.nextUpdateNs;
    pages.vmstat.modZone(machine.zones[0], MLOCK, 7);
    memory.writeFloat64(due, machine.cpus[0].nowNs() + 5e8);
    pages.tick();
    expect(folded(machine, MLOCK)).toBe(0);
    memory.writeFloat64(due, 0);
    pages.tick();
    expect(folded(machine, MLOCK)).toBe(0);
    memory.writeFloat64(due, machine.cpus[0].nowNs());
    pages.tick();
    expect(folded(machine, MLOCK)).toBe(7);
    expect(memory.readFloat64(due)).toBeGreaterThan(machine.cpus[0].nowNs() + 9e8);
  });

  test("gives back what a CPU has kept of another node for three updates", () => {
    const machine = pageFixture({
      cpus: 1,
      threshold: 50,
      zones: [
        { node: 0, startPfn: 1024, pages: 1024 },
        { node: 1, startPfn: 2048, pages: 1024 },
      ],
    });
    const { pages } = machine;
    const remote = pages.allocPagesNode(1, Gfp.KERNEL, 0);
    pages.freePage(remote);
    const listed = (): number =>
      machine.memory.read(pages.lists.listsOf(machine.zones[1], 0) + PerCpuPages.count);
    expect(listed()).toBeGreaterThan(0);
    pages.vmstat.modZone(machine.zones[1], MLOCK, 1);
    for (let i = 0; i < 4; i++) pages.updateVmstat();
    expect(listed()).toBe(0);
    machine.check();
  });
});

describe("events", () => {
  test("are added up over the CPUs", () => {
    const machine = machineOf(0);
    machine.allocators[0].vmstat.countEvents(VmEvent.pgfault, 3);
    machine.allocators[1].vmstat.countEvents(VmEvent.pgfault, 4);
    expect(machine.pages.vmstat.eventTotal(VmEvent.pgfault)).toBe(7);
  });

  test("count beyond 31 bits", () => {
    const machine = machineOf(0);
    for (let i = 0; i < 5; i++) machine.pages.vmstat.countEvents(VmEvent.pgfree, EVENT_CARRY - 1);
    machine.pages.vmstat.countEvents(VmEvent.pgfree, 6);
    expect(machine.pages.vmstat.eventTotal(VmEvent.pgfree)).toBe(5 * EVENT_CARRY + 1);
  });

  test("of allocations: pages by zone, frees, and where they came from", () => {
    const machine = pageFixture({
      cpus: 2,
      zones: [
        { node: 0, startPfn: 1024, pages: 1024 },
        { node: 1, startPfn: 2048, pages: 1024 },
      ],
    });
    const { vmstat } = machine.pages;
    const numa = (zone: number): number[] =>
      Object.values(NumaStat).map((item) => vmstat.numaTotal(machine.zones[zone], item));
    machine.allocators[0].allocPages(Gfp.KERNEL, 2);
    const far = machine.allocators[0].allocPagesNode(1, Gfp.KERNEL, 0);
    machine.allocators[0].freePage(far);
    expect(vmstat.eventTotal(VmEvent.pgalloc_normal)).toBe(5);
    expect(vmstat.eventTotal(VmEvent.pgfree)).toBe(1);
    // hit, miss, foreign, interleave, local, other
    expect(numa(0)).toEqual([1, 0, 0, 0, 1, 0]);
    expect(numa(1)).toEqual([1, 0, 0, 0, 0, 1]);
    while (machine.allocators[1].allocPages(Gfp.NOWAIT | GfpFlag.THISNODE, 4) !== 0) {}
    machine.allocators[1].allocPages(Gfp.NOWAIT, 4);
    expect(numa(0)).toEqual([1, 1, 0, 0, 1, 1]);
    expect(numa(1)[NumaStat.numa_foreign]).toBe(1);
  });
});

describe("the check finds", () => {
  const broken: readonly [what: string, harm: (machine: PageFixture) => void, message: string][] = [
    [
      "a zone total that is not the sum of its zones",
      (m) => m.memory.write(m.zones[0] + Zone.stat + MLOCK, 5),
      "S2 nr_mlock: zones sum to 5, the machine's total is 0",
    ],
    [
      "a node total that is not the sum of its nodes",
      (m) => m.memory.write(m.pages.frames.nodeAt(0) + Node.stat + NodeStat.nr_dirty, 5),
      "S2 nr_dirty: nodes sum to 5, the machine's total is 0",
    ],
    [
      "a delta beyond its threshold",
      (m) => {
        const stats = m.memory.read(m.zones[0] + Zone.zonestats);
        m.memory.write(stats + PerCpuZonestat.diff + MLOCK, 11);
      },
      "S3 nr_mlock: cpu 0 holds back 11, its threshold is 10",
    ],
  ];
  test.each(broken)("%s", (_what, harm, message) => {
    const machine = machineOf(10);
    harm(machine);
    expect(() => machine.check()).toThrow(message);
  });
});
