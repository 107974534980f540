/** Who takes mmap_lock, by lock statistics. */

import { expect, test } from "vitest";
import { inShape } from "../../support/in-shape.ts";
import type { Takings } from "../../support/shaped-vma-lock.ts";

const MODULE = new URL("../../support/shaped-vma-lock.ts", import.meta.url);
const takings = (vmaLock: "6.12" | "off"): Promise<Takings> =>
  inShape<Takings>({ vmaLock }, MODULE, "takingsOfFirstTouches");

test("with locks of VMAs only the first fault takes mmap_lock, for the anon_vma", async () => {
  expect(await takings("6.12")).toEqual({ mmapLock: [1, 1, 0, 1], faults: 64 });
});

test("without them every fault takes mmap_lock", async () => {
  expect(await takings("off")).toEqual({ mmapLock: [1, 1, 63, 1], faults: 64 });
});
