import { expect, test } from "vitest";
import { lockWarning } from "../../../src/experiment/lock-warning.ts";

test.each([
  [
    { lock: "ticket" },
    8,
    2,
    "lock=ticket is first come, first served: with 8 CPUs on 2 cores a hand-over may wait for a run token",
  ],
  [
    { lock: "queued", tokens: "free" as const },
    3,
    2,
    "lock=queued is first come, first served: with 3 CPUs on 2 cores every hand-over may wait for the host's scheduler",
  ],
  [{ lock: "ticket" }, 2, 2, null],
  [{ lock: "pv" }, 32, 2, null],
  [{}, 32, 2, null],
  [{ lock: "tas" }, 32, 2, null],
  [{ lock: "./mine.ts" }, 32, 2, null],
  [{ mode: "virtual" as const, lock: "ticket" }, 64, 2, null],
  [{ mode: "virtual" as const }, 64, 2, null],
  [
    { mode: "virtual" as const, lock: "pv" },
    1,
    2,
    "lock=pv is lock=queued in simulated time: no CPU is ever off its core there, which is what the paravirtual form is for",
  ],
])("%j with %i CPUs on %i cores", (machine, cpus, cores, expected) => {
  expect(lockWarning(machine, cpus, cores)).toBe(expected);
});
