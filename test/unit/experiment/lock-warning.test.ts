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
])("%j with %i CPUs on %i cores", (machine, cpus, cores, expected) => {
  expect(lockWarning(machine, cpus, cores)).toBe(expected);
});
