import { describe, expect, test } from "vitest";
import { topologyOf } from "../../../src/hardware/topology.ts";
import { resolveCosts, validateProfile } from "../../../src/schedule/virtual/profile.ts";
import { DEFAULT_PROFILE, loadProfile } from "../../../src/schedule/virtual/profiles.ts";

const good = loadProfile(DEFAULT_PROFILE);
const changed = (path: string, value: unknown): unknown => {
  const copy = structuredClone(good) as unknown as Record<string, unknown>;
  const keys = path.split(".");
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  if (value === undefined) delete at[keys[keys.length - 1]];
  else at[keys[keys.length - 1]] = value;
  return copy;
};

describe("profiles", () => {
  test.each([
    ["clockGHz", 0, "clockGHz is 0; valid are 0.1 to 10"],
    ["access.hit", "cheap", 'access.hit is "cheap"; valid are numbers from 0'],
    ["access.hit", undefined, "access.hit is undefined"],
    ["access.miss", 3, "access.miss is unknown; valid in access are hit, locked"],
    ["transfer", 3, "transfer must be an object"],
    ["name", 3, "name must be a text"],
    ["cacheLines", 1000, "cacheLines is 1000; valid are powers of two"],
  ])("%s = %j is refused by name", (path, value, message) => {
    expect(() => validateProfile(changed(path, value), "mine.json")).toThrow(`mine.json: ${message}`);
  });

  test("distance makes transfers and memory dearer", () => {
    const topology = topologyOf({
      cpus: 4,
      nodes: 2,
      sockets: 2,
      memoryBytes: 2 ** 28,
      distances: [
        [10, 21],
        [21, 10],
      ],
    });
    const costs = resolveCosts(good, topology);
    expect(costs.transferMarked[1]).toBe(good.transfer.cluster.marked);
    expect(costs.transferMarked[3]).toBeCloseTo(
      good.transfer.node.marked + 1.1 * good.transfer.perDistance10.marked,
    );
    expect(costs.memoryMiss[6]).toBeCloseTo(good.memory.local + 1.1 * good.memory.perDistance10);
    expect(costs.memoryMiss[7]).toBe(good.memory.local);
  });
});
