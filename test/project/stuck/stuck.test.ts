/** Run by stall.test.ts alone, with the configuration beside it: a test that blocks its thread. */

import { test } from "vitest";

test("blocks its thread", () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
