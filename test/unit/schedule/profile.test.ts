import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { derivedProfile, MEASURED } from "../../../bench/calibration/derived-profile.ts";
import { type TopologyConfig, topologyOf } from "../../../src/hardware/topology.ts";
import { resolveCosts } from "../../../src/schedule/virtual/profile.ts";
import { validateProfile } from "../../../src/schedule/virtual/profile-check.ts";
import { topologyDefaults } from "../../../src/schedule/virtual/profile-topology.ts";
import { DEFAULT_PROFILE, loadProfile, profileNames } from "../../../src/schedule/virtual/profiles.ts";
import { projectFolder } from "../../support/folder.ts";

const good = loadProfile(DEFAULT_PROFILE);
const twoNodes = {
  sockets: 2,
  nodes: 2,
  maxCpus: 8,
  clusterCpus: 2,
  distances: [
    [10, 21],
    [21, 10],
  ],
};

/** The default profile with one field changed; undefined takes it out. */
const changed = (path: string, value: unknown): unknown => {
  const copy = structuredClone(good) as unknown as Record<string, unknown>;
  const keys = path.split(".");
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  if (value === undefined) delete at[keys[keys.length - 1]];
  else at[keys[keys.length - 1]] = value;
  return copy;
};

describe("a bad profile is refused by field, value and what is valid", () => {
  test.each([
    ["clockGHz", 0, "clockGHz is 0; valid are numbers from 0.1 to 10"],
    ["clockGHz", 2200, "clockGHz is 2200; valid are numbers from 0.1 to 10"],
    ["access.hit", "cheap", 'access.hit is "cheap"; valid are numbers from 0.25 to 20'],
    ["access.hit", undefined, "access.hit is missing; valid are numbers from 0.25 to 20"],
    ["access.hit", 0.1, "access.hit is 0.1; valid are numbers from 0.25 to 20"],
    ["access.hti", 3, "access.hti is unknown (did you mean hit?); valid in access are hit, locked"],
    ["clock", 3, "clock is unknown"],
    ["transfer", 3, "transfer must be an object, is 3"],
    ["machine", undefined, "machine is missing; valid is an object with sockets, nodes"],
    ["name", 3, "name is 3; valid is a text"],
    ["cacheLines", 1000, "cacheLines is 1000; valid are powers of two"],
    ["cacheLines", 32, "cacheLines is 32; valid are whole numbers from 64 to 1048576"],
    ["work.ZERO_PAGE", -1, "work.ZERO_PAGE is -1; valid are numbers from 0 to 1000000"],
    ["work.ZERO_PAEG", 1, "work.ZERO_PAEG is unknown (did you mean ZERO_PAGE?)"],
    ["notes", { "access.hit": 3 }, 'notes["access.hit"] is 3; valid is a text'],
    [
      "notes",
      { "acess.hit": "x" },
      'notes: there is no field "acess.hit" (did you mean access.hit?); valid are paths',
    ],
    ["transfer.nodes", [], "transfer.nodes is []; valid is a list of 1 or more"],
    ["machine.maxCpus", 300, "machine.maxCpus is 300; valid are whole numbers from 1 to 256"],
    ["machine.nodes", 1.5, "machine.nodes is 1.5; valid are whole numbers from 1 to 8"],
    ["machine.sockets", 2, "machine.nodes is 1; valid are multiples of machine.sockets, which is 2"],
    [
      "machine",
      { ...twoNodes, maxCpus: 7 },
      "machine.maxCpus is 7; valid are multiples of machine.nodes, which is 2",
    ],
    [
      "machine",
      { ...twoNodes, clusterCpus: 5 },
      "machine.clusterCpus is 5; valid are 1 to 4, the CPUs of a node",
    ],
    [
      "machine",
      { ...twoNodes, distances: [[10]] },
      "machine.distances has rows of 1; valid are 2 rows of 2, one for each of machine.nodes",
    ],
    ["machine.distances", [[11]], "machine.distances[0][0] is 11; valid is 10, a node to itself"],
    ["machine.distances", [[9]], "machine.distances[0][0] is 9; valid are whole numbers from 10 to 255"],
    [
      "machine",
      {
        ...twoNodes,
        distances: [
          [10, 10],
          [10, 10],
        ],
      },
      "machine.distances[0][1] is 10; valid are 11 to 255, from one node to another",
    ],
    [
      "machine",
      {
        ...twoNodes,
        distances: [
          [10, 21],
          [20, 10],
        ],
      },
      "machine.distances[0][1] is 21; valid is 20, as in the other direction",
    ],
  ])("%s = %j", (path, value, message) => {
    expect(() => validateProfile(changed(path, value), "mine.json")).toThrow(`mine.json: ${message}`);
  });

  const transfer = {
    cluster: { plain: 20, marked: 100 },
    socket: { plain: 30, marked: 150 },
    nodes: [{ distance: 20, plain: 40, marked: 300 }],
  };
  const memory = {
    local: 100,
    marked: 200,
    stream: 15,
    streamWindowLines: 16,
    nodes: [{ distance: 20, miss: 150, stream: 20 }],
  };
  const node = transfer.nodes[0];
  test.each([
    [
      "transfer",
      { ...transfer, cluster: { plain: 1, marked: 100 } },
      "transfer.cluster.plain is 1; valid is 1.5 or more, as access.hit",
    ],
    [
      "transfer",
      { ...transfer, cluster: { plain: 20, marked: 10 } },
      "transfer.cluster.marked is 10; valid is 20 or more, as transfer.cluster.plain",
    ],
    [
      "transfer",
      { ...transfer, socket: { plain: 30, marked: 90 } },
      "transfer.socket.marked is 90; valid is 100 or more, as transfer.cluster.marked",
    ],
    [
      "transfer",
      { ...transfer, nodes: [{ ...node, plain: 29 }] },
      "transfer.nodes[0].plain is 29; valid is 30 or more, as transfer.socket.plain",
    ],
    [
      "transfer",
      { ...transfer, nodes: [{ ...node, distance: 10 }] },
      "transfer.nodes[0].distance is 10; valid are whole numbers from 11 to 255",
    ],
    [
      "transfer",
      { ...transfer, nodes: [node, { ...node, distance: 20 }] },
      "transfer.nodes[1].distance is 20; valid are 21 to 255, distances ascend",
    ],
    ["upgrade", { plain: 1, marked: 40 }, "upgrade.plain is 1; valid is 1.5 or more, as access.hit"],
    ["memory", { ...memory, stream: 1 }, "memory.stream is 1; valid is 1.5 or more, as access.hit"],
    ["memory", { ...memory, local: 14 }, "memory.local is 14; valid is 15 or more, as memory.stream"],
    ["memory", { ...memory, marked: 99 }, "memory.marked is 99; valid is 100 or more, as memory.local"],
    [
      "memory",
      { ...memory, nodes: [{ distance: 20, miss: 90, stream: 20 }] },
      "memory.nodes[0].miss is 90; valid is 100 or more, as memory.local",
    ],
    [
      "memory",
      { ...memory, nodes: [{ distance: 20, miss: 150, stream: 14 }] },
      "memory.nodes[0].stream is 14; valid is 15 or more, as memory.stream",
    ],
    [
      "memory",
      { ...memory, nodes: [{ distance: 20, miss: 150, stream: 151 }] },
      "memory.nodes[0].miss is 150; valid is 151 or more, as memory.nodes[0].stream",
    ],
  ])("%s: what is farther costs no less: %j", (path, value, message) => {
    const base = changed("access.hit", 1.5) as Record<string, unknown>;
    expect(() => validateProfile({ ...base, [path]: value }, "mine.json")).toThrow(`mine.json: ${message}`);
  });

  test("of a file that is none", () => {
    expect(() => validateProfile([1], "mine.json")).toThrow("mine.json: a profile must be an object, is [1]");
  });
});

describe("costs by distance", () => {
  const far = validateProfile(
    {
      ...good,
      machine: twoNodes,
      transfer: {
        cluster: { plain: 20, marked: 100 },
        socket: { plain: 30, marked: 150 },
        nodes: [
          { distance: 20, plain: 50, marked: 350 },
          { distance: 30, plain: 60, marked: 400 },
        ],
      },
      memory: {
        ...good.memory,
        local: 100,
        marked: 200,
        stream: 10,
        nodes: [{ distance: 20, miss: 180, stream: 20 }],
      },
    },
    "test",
  );
  const costsAt = (distance: number) =>
    resolveCosts(
      far,
      topologyOf({
        cpus: 8,
        memoryBytes: 2 ** 28,
        ...twoNodes,
        distances: [
          [10, distance],
          [distance, 10],
        ],
      }),
    );

  test("two CPUs of a cluster, of a socket, and of two nodes", () => {
    const costs = costsAt(20);
    const from0 = (table: Float64Array) => [1, 3, 7].map((cpu) => table[cpu]);
    expect(from0(costs.transferMarked)).toEqual([100, 150, 350]);
    expect(from0(costs.transferPlain)).toEqual([20, 30, 50]);
    expect(Array.from(costs.memoryMiss.slice(0, 2))).toEqual([100, 180]);
    expect(Array.from(costs.memoryMiss.slice(14))).toEqual([180, 100]);
    expect(Array.from(costs.memoryMissMarked.slice(0, 2))).toEqual([200, 360]);
    expect(Array.from(costs.streamMiss.slice(0, 2))).toEqual([10, 20]);
  });

  test.each([
    [15, 250, 140],
    [25, 375, 220],
    [40, 450, 340],
  ])(
    "at distance %d, which is not in the profile, lie on the line between those that are",
    (distance, marked, miss) => {
      const costs = costsAt(distance);
      expect(costs.transferMarked[7]).toBeCloseTo(marked);
      expect(costs.memoryMiss[1]).toBeCloseTo(miss);
    },
  );
});

describe("the topology of a profile's machine", () => {
  const profile = validateProfile({ ...good, machine: { ...twoNodes, cacheBytes: 2 ** 20 } }, "test");
  const topologyFor = (cpus: number, chosen: Partial<TopologyConfig> = {}) => {
    const base = { memoryBytes: 2 ** 28, ...chosen };
    return topologyOf({ ...base, ...topologyDefaults(profile, cpus, chosen), cpus });
  };

  test("has its nodes, distances, clusters and caches", () => {
    const topology = topologyFor(8);
    expect(topology).toMatchObject({ sockets: 2, nodes: 2, distances: twoNodes.distances });
    expect(topology.cpuNode).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(topology.cpuCluster).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(topology.cacheSliceBytes).toBe(2 ** 19);
  });
  test("is filled a node at a time; nodes without CPUs keep their memory", () => {
    const topology = topologyFor(3, { housekeepingCpus: 2 });
    expect(topology.cpuNode).toEqual([0, 0, 0, 0, 1]);
    expect(topology.nodeCpus).toEqual([[0, 1, 2], []]);
    expect(topology.memory.map(({ node }) => node)).toEqual([0, 1]);
    expect(topologyFor(1).cpuNode).toEqual([0]);
  });
  test("grows when a run has more CPUs than the machine", () => {
    expect(topologyFor(12).nodeCpus.map((cpus) => cpus.length)).toEqual([6, 6]);
  });
  test("gives way to what the user chose", () => {
    expect(topologyFor(8, { nodes: 4 }).distances[0]).toEqual([10, 20, 20, 20]);
    expect(topologyFor(8, { cpuNodes: [0, 1, 0, 1, 0, 1, 0, 1] })).toMatchObject({
      cpuNode: [0, 1, 0, 1, 0, 1, 0, 1],
      distances: twoNodes.distances,
    });
    expect(topologyFor(8, { clusterCpus: 4 }).cpuCluster).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  });
});

test("every profile that ships is valid and its machine can be built in full", () => {
  for (const name of profileNames()) {
    const profile = loadProfile(name);
    const cpus = profile.machine.maxCpus;
    const chosen = topologyDefaults(profile, cpus, {});
    const topology = topologyOf({ cpus, memoryBytes: 2 ** 28, ...chosen });
    expect(topology.nodeCpus.map((of) => of.length)).toEqual(
      new Array(profile.machine.nodes).fill(cpus / profile.machine.nodes),
    );
  }
});

test("the example of the documentation is a profile", () => {
  const text = readFileSync(join(projectFolder, "docs/SIMULATED-TIME.md"), "utf8");
  const example = /```json\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  expect(validateProfile(JSON.parse(example), "example").machine.nodes).toBe(2);
});

/** Paths of the figures of a profile: "transfer.cluster.plain". */
const figures = (value: object, path = ""): string[] =>
  Object.entries(value).flatMap(([key, field]) => {
    const name = path === "" ? key : `${path}.${key}`;
    if (typeof field === "string" || name === "notes") return [];
    return typeof field === "object" && !Array.isArray(field) ? figures(field, name) : [name];
  });

test.each(profileNames())("%s says of every figure where it comes from", (name) => {
  const profile = loadProfile(name);
  const notes = Object.keys(profile.notes ?? {});
  const silent = figures(profile).filter(
    (path) => !notes.some((note) => path === note || path.startsWith(`${note}.`)),
  );
  expect(silent).toEqual([]);
});

// After a fit: node bench/calibration/derive-profiles.ts
test.each(Object.entries(MEASURED))("%s follows from the fitted profile", (name, measured) => {
  const profile = loadProfile(name);
  expect(profile).toEqual(derivedProfile(profile, good, measured));
});
