/** Broadcast invalidation: no interrupts, targets with interrupts off, the transition to a global number, reuse of numbers. */

import { beforeAll, expect, test } from "vitest";
import { resolveConfig } from "../../../src/machine/config.ts";
import { UsageError } from "../../../src/memory/bug.ts";
import { inShape } from "../../support/in-shape.ts";

const PROGRAMS = new URL("../../support/shaped-broadcast.ts", import.meta.url);
let found: Record<string, unknown> = {};
beforeAll(async () => {
  found = await inShape({ shootdown: "broadcast" }, PROGRAMS, "everything");
});

test("three CPUs are interrupted, as always", () => {
  expect(found.onThree).toEqual({ ipis: [2, 2, 2, 2], asids: [0, 0, 0, 0], stale: 0, remote: 4 });
});

test("an address space on four CPUs gets a global number; one more flush interrupts, and then none", () => {
  expect(found.onFour).toEqual({ ipis: [3, 3, 0, 0], asids: [6, 6, 6, 6], stale: 0, remote: 2 });
});

test("a target with interrupts off forgets, and the sender does not wait for its interrupts", () => {
  expect(found.withInterruptsOff).toEqual({ readWhileWaiting: [0], faultsAfter: true, irqsOn: false });
});

test("numbers that were freed are given again after everything is forgotten", () => {
  expect(found.reuse).toEqual({
    asids: [6, 7, 6, 7, 6, 7],
    resets: 2,
    reads: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
  });
});

test("kernel addresses are forgotten everywhere without an interrupt", () => {
  expect(found.kernelRange).toEqual({ ipis: 0, knows: Array(6).fill(false), value: 9 });
});

test("lazy CPUs and those that are elsewhere are kept up to date; coming back flushes nothing", () => {
  expect(found.comeAndGo).toEqual({ ipis: 0, walks: [1, 1], values: [3, 2, 3, 2] });
});

test("without PCIDs there is none", () => {
  expect(() => resolveConfig({ shootdown: "broadcast", pcid: false })).toThrow(UsageError);
  expect(() => resolveConfig({ shootdown: "smoke" as "ipi" })).toThrow(
    /shootdown: "?smoke"? is not valid; valid are ipi,? (and )?broadcast/,
  );
});
