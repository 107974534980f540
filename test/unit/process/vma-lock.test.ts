/** Who takes mmap_lock, by lock statistics. */

import { expect, test } from "vitest";
import type { VmaLockKind } from "../../../src/memory/shape.ts";
import { inShape } from "../../support/in-shape.ts";
import type { Takings } from "../../support/shaped-vma-lock.ts";

const MODULE = new URL("../../support/shaped-vma-lock.ts", import.meta.url);
const takings = (vmaLock: VmaLockKind): Promise<Takings> =>
  inShape<Takings>({ vmaLock }, MODULE, "takingsOfFirstTouches");

test.each(["6.12", "6.18"] as const)(
  "with locks of VMAs, form of %s, only the first fault takes mmap_lock, for the anon_vma",
  async (form) => {
    expect(await takings(form)).toEqual({ mmapLock: [1, 1, 0, 1], faults: 64, vmaLocks: [64, 0, 0] });
  },
);

test("without them every fault takes mmap_lock", async () => {
  expect(await takings("off")).toEqual({ mmapLock: [1, 1, 63, 1], faults: 64, vmaLocks: [0, 0, 0] });
});
