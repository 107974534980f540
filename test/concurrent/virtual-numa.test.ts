/**
 * NUMA in simulated time: what programs measure inside is what the profile says, and what was published of the machine.
 */

import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { ProgramOptions, RunResult } from "../../src/machine/program.ts";
import { resolveCosts, transferBetween } from "../../src/schedule/virtual/profile.ts";
import { topologyDefaults } from "../../src/schedule/virtual/profile-topology.ts";
import { loadProfile, profileNames } from "../../src/schedule/virtual/profiles.ts";

afterAll(destroyIdlePools);

const TRIPS = 20;

/** CPUs by node and the size of clusters: few, but with a pair of every kind that the profile's machine has. */
const SMALL: Readonly<Record<string, { cpuNodes: readonly number[]; clusterCpus?: number }>> = {
  "xeon-gold-5320": { cpuNodes: [0, 0, 0] },
  "xeon-8375c-2s": { cpuNodes: [0, 0, 1, 1] },
  "epyc-7763-2s-nps4": { cpuNodes: [0, 0, 0, 1, 4, 5], clusterCpus: 2 },
  "ryzen-5950x": { cpuNodes: [0, 0, 0, 0], clusterCpus: 2 },
};

async function smallMachine(name: string, memory = "64MiB"): Promise<Machine> {
  const { cpuNodes, clusterCpus } = SMALL[name];
  const cpus = cpuNodes.length;
  const chosen = { cpuNodes, ...(clusterCpus === undefined ? {} : { clusterCpus }) };
  const topology = { ...topologyDefaults(loadProfile(name), cpus, chosen), ...chosen };
  return Machine.boot({ mode: "virtual", profile: name, cpus, memory, ...topology });
}

async function coreLatency(machine: Machine): Promise<number[][]> {
  const options = { trips: TRIPS, batches: 3 };
  const { cpuResults, fault } = await machine.run("core-latency", { operations: 1, options });
  expect(fault).toBeNull();
  return cpuResults.map(({ value }) => (value as { latencyNs: number[] }).latencyNs);
}

/** One way from CPU 0 to others as published, ns: the sources are in the profiles. */
const PUBLISHED: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  "xeon-8375c-2s": { 1: 51, 2: 108 },
  "epyc-7763-2s-nps4": { 1: 23, 2: 90, 3: 107, 4: 197 },
  "ryzen-5950x": { 1: 17, 2: 85 },
};

describe("the core-to-core matrix", () => {
  // The reader's miss, then its posted answer, which upgrades the line that it has just read.  Two accesses that begin
  // and end a batch hit.
  test.each(profileNames())(
    "%s: measured is transfer + upgrade for every pair, as published",
    async (name) => {
      const profile = loadProfile(name);
      const machine = await smallMachine(name);
      const { topology } = machine.config;
      const measured = await coreLatency(machine);
      await machine.halt();
      for (const [a, row] of measured.entries()) {
        for (const [b, ns] of row.entries()) {
          if (a === b) continue;
          const cycles = transferBetween(profile, topology, a, b).marked + profile.upgrade.plain;
          expect(ns * profile.clockGHz, `CPU ${a} from CPU ${b}`).toBeGreaterThanOrEqual(cycles);
          expect(ns * profile.clockGHz).toBeLessThanOrEqual(cycles + (2 * profile.access.hit) / TRIPS);
        }
      }
      for (const [cpu, ns] of Object.entries(PUBLISHED[name] ?? {})) {
        expect(measured[0][Number(cpu)] / ns, `CPU 0 from CPU ${cpu}`).toBeGreaterThan(0.99);
        expect(measured[0][Number(cpu)] / ns, `CPU 0 from CPU ${cpu}`).toBeLessThan(1.01);
      }
    },
  );
});

interface Access {
  readonly placed: readonly number[];
  readonly latencyNs: readonly (number | null)[];
}

const accesses = ({ cpuResults }: RunResult): Access[] => cpuResults.map(({ value }) => value as Access);

/** NUMA counters as /proc/vmstat shows them. */
async function numaCounters(machine: Machine): Promise<Record<string, number>> {
  const lines = (await machine.proc("vmstat")).split("\n").filter((line) => line.startsWith("numa_"));
  return Object.fromEntries(lines.map((line) => [line.split(" ")[0], Number(line.split(" ")[1])]));
}

/** Runs numa-access; returns what each CPU saw and by how much the counters rose. */
async function access(
  machine: Machine,
  options: ProgramOptions,
): Promise<{ result: RunResult; seen: Access[]; counted: (name: string) => number }> {
  const before = await numaCounters(machine);
  const result = await machine.run("numa-access", { operations: 1, options });
  expect(result.fault).toBeNull();
  const after = await numaCounters(machine);
  return { result, seen: accesses(result), counted: (name) => after[name] - before[name] };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe("memory by node", () => {
  test.each(["xeon-8375c-2s", "epyc-7763-2s-nps4"])(
    "%s: a line of each node costs what the profile says of its distance, and pages are spread evenly",
    async (name) => {
      const profile = loadProfile(name);
      const machine = await smallMachine(name);
      const { topology } = machine.config;
      const { memoryMiss } = resolveCosts(profile, topology);
      // 101 pages do not come out even over 2 or 8 nodes.
      const { seen, counted } = await access(machine, { pages: 101 });
      await machine.halt();
      for (const [cpu, { placed, latencyNs }] of seen.entries()) {
        expect(sum(placed)).toBe(101);
        expect(Math.max(...placed) - Math.min(...placed), `CPU ${cpu}: ${placed}`).toBe(1);
        for (const [node, ns] of latencyNs.entries()) {
          const cycles = memoryMiss[cpu * topology.nodes + node];
          expect((ns ?? 0) * profile.clockGHz, `CPU ${cpu}, node ${node}`).toBeCloseTo(cycles, 6);
        }
      }
      expect(counted("numa_interleave")).toBe(101 * topology.cpus);
      expect(counted("numa_miss") + counted("numa_foreign")).toBe(0);
      const local = sum(seen.map(({ placed }, cpu) => placed[topology.cpuNode[cpu]]));
      const others = counted("numa_hit") - counted("numa_interleave");
      expect(counted("numa_other")).toBe(101 * topology.cpus - local);
      expect(counted("numa_local")).toBe(local + others);
    },
  );

  test("whole pages in order come by the prefetcher, from afar too", async () => {
    const profile = loadProfile("epyc-7763-2s-nps4");
    const machine = await smallMachine("epyc-7763-2s-nps4");
    const { topology } = machine.config;
    const { memoryMiss, streamMiss } = resolveCosts(profile, topology);
    const { seen } = await access(machine, { pages: 32, pattern: "stream", lines: 64 });
    await machine.halt();
    for (const [cpu, { latencyNs }] of seen.entries()) {
      for (const [node, ns] of latencyNs.entries()) {
        const cycles = (ns ?? 0) * profile.clockGHz * 64;
        const at = cpu * topology.nodes + node;
        // The first line of a page is a surprise, unless the page before it was the one below.
        expect(cycles, `CPU ${cpu}, node ${node}`).toBeGreaterThan(64 * streamMiss[at] - 1e-6);
        expect(cycles).toBeLessThan(memoryMiss[at] + 63 * streamMiss[at] + 1e-6);
      }
    }
  });

  test("a page of a far node costs more to allocate, by its lines when it is zeroed", async () => {
    const profile = loadProfile("xeon-8375c-2s");
    const nsPerPage = async (nodes: string, zero: boolean): Promise<number> => {
      const topology = topologyDefaults(profile, 1, {});
      const config = {
        mode: "virtual",
        profile: profile.name,
        cpus: 1,
        memory: "64MiB",
        ...topology,
      } as const;
      const machine = await Machine.boot(config);
      const { result, seen } = await access(machine, { policy: "bind", nodes, zero, pages: 400 });
      await machine.halt();
      for (const { placed } of seen) expect(placed[Number(nodes)]).toBe(400);
      const [{ phases }] = result.cpuResults;
      return phases[0].elapsedNs / phases[0].operations;
    };
    const bare = (await nsPerPage("1", false)) - (await nsPerPage("0", false));
    const zeroed = (await nsPerPage("1", true)) - (await nsPerPage("0", true));
    expect(bare).toBeGreaterThan(2);
    const { local, stream, nodes } = profile.memory;
    const linesNs = (nodes[0].miss - local + 63 * (nodes[0].stream - stream)) / profile.clockGHz;
    expect((zeroed - bare) / linesNs).toBeGreaterThan(0.9);
    expect((zeroed - bare) / linesNs).toBeLessThan(1.1);
  });

  test("what a full node cannot give comes from another and counts as a miss", async () => {
    const machine = await smallMachine("xeon-8375c-2s", "16MiB");
    const { seen, counted } = await access(machine, { policy: "preferred", nodes: "1", pages: 600 });
    const strayed = sum(seen.map(({ placed }) => placed[0]));
    expect(strayed).toBeGreaterThan(0);
    expect(counted("numa_miss")).toBe(strayed);
    expect(counted("numa_foreign")).toBe(strayed);
    await machine.halt();
  });
});

describe("numa-access", () => {
  test("runs in parallel mode too, where nodes are only numbers", async () => {
    const machine = await Machine.boot({ cpus: 2, nodes: 2, sockets: 2, memory: "64MiB" });
    const { seen, counted } = await access(machine, { pages: 31 });
    expect(seen.map(({ placed }) => Math.abs(placed[0] - placed[1]))).toEqual([1, 1]);
    expect(counted("numa_interleave")).toBe(62);
    expect((await machine.check()).fault).toBeNull();
    await machine.halt();
  });

  test.each([
    [{ nodes: "2" }, 'nodes: "2" is not valid; valid are all, or numbers and ranges from 0 to 1'],
    [{ nodes: "1-0" }, 'nodes: "1-0" is not valid'],
    [{ nodes: "a" }, 'nodes: "a" is not valid'],
    [{ policy: "local", nodes: "1" }, 'nodes: "1" is not valid with policy=local, which has none'],
    [{ policy: "nearby" }, "valid are local, bind, preferred, preferred-many, interleave"],
  ])("%j names what is valid", async (options, message) => {
    const machine = await Machine.boot({ cpus: 1, nodes: 2, memory: "64MiB" });
    const outcome = machine
      .run("numa-access", { operations: 1, options })
      .then(({ fault }) => fault?.message);
    expect(await outcome.catch((error: Error) => error.message)).toContain(message);
    await machine.halt();
  });
});
