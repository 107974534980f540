import { describe, expect, test } from "vitest";
import { Errno } from "../../../src/memory/errno.ts";
import { FRAME_WORDS, type Pfn } from "../../../src/memory/units.ts";
import { NumaStat } from "../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { Mempolicies, PolicyMode } from "../../../src/mm/pages/mempolicy.ts";
import { pageFixture, type ZoneSpec } from "../../support/page-fixture.ts";

const { NOWARN, THISNODE } = GfpFlag;
const { PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY } = PolicyMode;
const EINVAL = -Errno.EINVAL;
const PAGES = 512;
/** With lists of one no page waits in a list while its zone has none left. */
const nodeZone = (node: number, pages = PAGES): ZoneSpec => ({
  node,
  startPfn: 1024 + node * 1024,
  pages,
  batch: 1,
  highMin: 1,
  highMax: 1,
});

/** Nodes 0 to 3 of which 2 has no memory; this CPU is on node 0.  Its task and policy lie in a page of node 0. */
function machineOf(zones: readonly ZoneSpec[] = [nodeZone(0), nodeZone(1), nodeZone(3)]) {
  const machine = pageFixture({ zones });
  const { pages, cpus } = machine;
  cpus[0].current = pages.getZeroedPage(Gfp.KERNEL);
  const policy = cpus[0].current + FRAME_WORDS / 2;
  const mempolicies = new Mempolicies(cpus[0], pages, 0);
  const { frames, vmstat } = pages;
  const nodeOf = (pfn: Pfn): number => frames.nodeOf(frames.pageOf(pfn));
  return {
    ...machine,
    mempolicies,
    policy,
    nodeOf,
    /** A counter by node, since the machine was made. */
    numa: (name: keyof typeof NumaStat): number[] =>
      machine.zones.map((zone) => vmstat.numaTotal(zone, NumaStat[name])),
    use(mode: number, nodes: number): void {
      expect(mempolicies.format(policy, mode, nodes)).toBe(0);
      mempolicies.use(policy);
    },
    take: (count: number): number[] =>
      Array.from({ length: count }, () => nodeOf(mempolicies.allocPages(Gfp.KERNEL | NOWARN, 0))),
  };
}

describe("a policy", () => {
  test.each([
    ["interleave over none", INTERLEAVE, 0, EINVAL],
    ["bind to none", BIND, 0, EINVAL],
    ["bind to a node without memory", BIND, 0b100, EINVAL],
    ["bind to a node that there is not", BIND, 0b1000_0000, EINVAL],
    ["prefer a node without memory", PREFERRED, 0b100, EINVAL],
    ["local with nodes", LOCAL, 0b1, EINVAL],
    ["no mode", 0, 0b1, EINVAL],
    ["a mode above the last", 6, 0b1, EINVAL],
    ["interleave over nodes of which one has no memory", INTERLEAVE, 0b111, 0],
    ["local", LOCAL, 0, 0],
    ["prefer none, which is local", PREFERRED, 0, 0],
  ])("%s", (_name, mode, nodes, result) => {
    const { mempolicies, policy } = machineOf();
    expect(mempolicies.format(policy, mode, nodes)).toBe(result);
  });

  test("none and local: this CPU's node", () => {
    const { take, use, mempolicies } = machineOf();
    expect(take(3)).toEqual([0, 0, 0]);
    use(LOCAL, 0);
    expect(take(3)).toEqual([0, 0, 0]);
    use(PREFERRED, 0b1010);
    expect(take(2)).toEqual([1, 1]);
    mempolicies.use(0);
    expect(take(1)).toEqual([0]);
  });

  test("preferred: that node until it is empty, then the others, counted as misses of its zone", () => {
    const { use, take, numa } = machineOf();
    use(PREFERRED, 0b1000);
    const nodes = take(PAGES + 40);
    expect(nodes.filter((node) => node === 3)).toHaveLength(PAGES);
    expect(nodes.slice(PAGES)).toEqual(new Array(40).fill(0));
    // The task's own page was the first hit of node 0.
    expect(numa("numa_hit")).toEqual([1, 0, PAGES]);
    expect(numa("numa_miss")).toEqual([40, 0, 0]);
    expect(numa("numa_foreign")).toEqual([0, 0, 40]);
    expect(numa("numa_other")).toEqual([0, 0, PAGES]);
  });

  test("bind: those nodes only, the nearest first, then none", () => {
    const { use, take, mempolicies, reports } = machineOf();
    use(BIND, 0b1010);
    const nodes = take(2 * PAGES);
    expect(nodes.slice(0, PAGES)).toEqual(new Array(PAGES).fill(1));
    expect(nodes.slice(PAGES)).toEqual(new Array(PAGES).fill(3));
    expect(mempolicies.allocPages(Gfp.KERNEL | NOWARN, 0)).toBe(0);
    expect(mempolicies.allocPages(Gfp.KERNEL, 0)).toBe(0);
    expect(reports.join()).toContain("page allocation failure");
  });

  test("bind does not hold for zones that only some nodes have", () => {
    const dma: ZoneSpec = { node: 0, index: 0, startPfn: 16, pages: 256 };
    const { use, mempolicies, nodeOf } = machineOf([dma, nodeZone(0), nodeZone(1)]);
    use(BIND, 0b10);
    expect(nodeOf(mempolicies.allocPages(Gfp.DMA | NOWARN, 0))).toBe(0);
    expect(nodeOf(mempolicies.allocPages(Gfp.KERNEL | NOWARN, 0))).toBe(1);
  });

  test("several preferred: the nearest of them, then the others, then any", () => {
    const { use, take } = machineOf();
    use(PREFERRED_MANY, 0b1010);
    const nodes = take(2 * PAGES + 5);
    expect(nodes.slice(0, PAGES)).toEqual(new Array(PAGES).fill(1));
    expect(nodes.slice(PAGES, 2 * PAGES)).toEqual(new Array(PAGES).fill(3));
    expect(nodes.slice(2 * PAGES)).toEqual([0, 0, 0, 0, 0]);
  });

  test("is not asked when the request names its node", () => {
    const { use, mempolicies, nodeOf } = machineOf();
    use(BIND, 0b1000);
    expect(nodeOf(mempolicies.allocPages(Gfp.KERNEL | THISNODE, 0))).toBe(0);
  });
});

describe("interleaving", () => {
  test("takes the nodes in turn, whatever the order, and counts what landed there", () => {
    const { use, take, numa, mempolicies, nodeOf } = machineOf();
    use(INTERLEAVE, 0b1111);
    expect(take(7)).toEqual([0, 1, 3, 0, 1, 3, 0]);
    expect(nodeOf(mempolicies.allocPages(Gfp.KERNEL, 3))).toBe(1);
    expect(numa("numa_interleave")).toEqual([3, 3, 2]);
    expect(numa("numa_hit")).toEqual([4, 3, 2]);
    expect(numa("numa_miss")).toEqual([0, 0, 0]);
    use(INTERLEAVE, 0b1010);
    expect(take(3)).toEqual([1, 3, 1]);
  });

  test("goes on elsewhere when a node is empty; that is a miss and no interleave", () => {
    const { use, take, numa } = machineOf([nodeZone(0), nodeZone(1, 16)]);
    use(INTERLEAVE, 0b11);
    const nodes = take(64);
    expect(nodes.filter((node) => node === 1)).toHaveLength(16);
    expect(numa("numa_interleave")).toEqual([32, 16]);
    expect(numa("numa_foreign")).toEqual([0, 16]);
    expect(numa("numa_miss")).toEqual([16, 0]);
  });

  test.each([
    [9, [3, 3, 3]],
    [11, [4, 4, 3]],
    [2, [1, 1, 0]],
  ])("in bulk: %d pages are %j by node", (count, shares) => {
    const { use, mempolicies, nodeOf } = machineOf();
    use(INTERLEAVE, 0b1011);
    const pfns: Pfn[] = [];
    expect(mempolicies.allocPagesBulk(Gfp.KERNEL, count, pfns)).toBe(count);
    const nodes = pfns.map(nodeOf);
    expect([0, 1, 3].map((node) => nodes.filter((n) => n === node).length)).toEqual(shares);
  });

  test("in bulk without interleaving: of the policy's node", () => {
    const { use, mempolicies, nodeOf } = machineOf();
    const pfns: Pfn[] = [];
    expect(mempolicies.allocPagesBulk(Gfp.KERNEL, 3, pfns)).toBe(3);
    use(LOCAL, 0);
    expect(mempolicies.allocPagesBulk(Gfp.KERNEL, 3, pfns)).toBe(3);
    use(PREFERRED, 0b1000);
    expect(mempolicies.allocPagesBulk(Gfp.KERNEL, 3, pfns)).toBe(3);
    use(BIND, 0b10);
    expect(mempolicies.allocPagesBulk(Gfp.KERNEL, 3, pfns)).toBe(1);
    expect(pfns.map(nodeOf)).toEqual([0, 0, 0, 0, 0, 0, 3, 3, 3, 1]);
  });

  test("loses nothing", () => {
    const { use, mempolicies, pages, check, cpus } = machineOf();
    use(INTERLEAVE, 0b1011);
    const held = Array.from({ length: 300 }, () => mempolicies.allocPages(Gfp.KERNEL, 0));
    for (const pfn of held) pages.freePage(pfn);
    pages.freePagesAt(cpus[0].current, 0);
    pages.drain.all();
    expect(check()).toBe(3 * PAGES);
  });
});
