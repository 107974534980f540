import { expect, test } from "vitest";
import { HostLoad, othersShareOf } from "../../../src/experiment/host-load.ts";

test("the share of others is what is busy and not ours, of all cores", () => {
  expect(othersShareOf({ elapsedMs: 1000, busyMs: 1500, ownMs: 1000, cores: 2 })).toBeCloseTo(0.25);
  expect(othersShareOf({ elapsedMs: 1000, busyMs: 900, ownMs: 1000, cores: 2 })).toBe(0);
  expect(othersShareOf({ elapsedMs: 100, busyMs: 9000, ownMs: 0, cores: 2 })).toBe(1);
});

test("nothing is said of a time too short for the host's ticks", () => {
  expect(new HostLoad().othersShare()).toBeNull();
});
