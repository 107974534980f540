import { expect, test } from "vitest";
import { UsageError } from "../../../src/memory/bug.ts";
import { Random } from "../../../src/memory/random.ts";
import { DEFAULT_MIX, SizeMix } from "../../../src/workloads/parts/size-mix.ts";

test("sizes come as often as their weights say, from above the bound before up to their own", () => {
  const mix = new SizeMix("16:30,64:70", "mix");
  const random = new Random().seed(5);
  const sizes = Array.from({ length: 10_000 }, () => mix.draw(random));
  const small = sizes.filter((bytes) => bytes <= 16).length;
  expect(small / sizes.length).toBeGreaterThan(0.27);
  expect(small / sizes.length).toBeLessThan(0.33);
  expect([Math.min(...sizes), Math.max(...sizes)]).toEqual([8, 64]);
  expect(new Set(sizes).size).toBe(57);
});

test("the mix that comes with it is well-formed", () => {
  expect(() => new SizeMix(DEFAULT_MIX, "mix")).not.toThrow();
});

test.each(["", "16", "16:0", "64:1,16:1", "4:1", "8388608:1", "16:1,", "a:b"])("%j is refused", (text) => {
  expect(() => new SizeMix(text, "kmalloc-mix: option mix")).toThrow(UsageError);
  expect(() => new SizeMix(text, "kmalloc-mix: option mix")).toThrow(
    /^kmalloc-mix: option mix: ".*" is not valid; valid are bytes:weight pairs/,
  );
});
