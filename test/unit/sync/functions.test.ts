import { describe, expect, test } from "vitest";
import { ImageLayout } from "../../../src/memory/image.ts";
import { Functions } from "../../../src/sync/functions.ts";
import { bindImage } from "../../support/one-thread.ts";
import { soloCpu } from "../../support/solo.ts";

function tables(count: number): Functions[] {
  const solo = soloCpu({ cpus: count });
  const layout = new ImageLayout();
  const slot = Functions.declare(layout);
  bindImage(layout);
  return solo.all.map((cpu) => new Functions(cpu, slot));
}

describe("functions named in RAM", () => {
  test("have equal ids on every CPU and run on the CPU that calls", () => {
    const [a, b] = tables(2);
    const ids = [a, b].map((t) => t.register("sum", (cpu, x, y) => 1000 * cpu.id + x + y));
    expect(ids).toEqual([1, 1]);
    expect(a.fingerprint()).toBe(b.fingerprint());
    expect(a.call(1, 3, 4)).toBe(7);
    expect(b.call(1, 3, 4)).toBe(1007);
    expect(b.nameOf(1)).toBe("sum");
    expect(b.nameOf(2)).toBe("function 2?");
    a.register("nothing", () => {});
    expect(a.call(2, 0, 0)).toBe(0);
    expect(a.fingerprint()).not.toBe(b.fingerprint());
  });

  test("another order is a bug at the registration", () => {
    const [a, b] = tables(2);
    a.register("first", () => {});
    expect(() => b.register("second", () => {})).toThrow(
      'function 1 is "second" on cpu 1, another CPU has registered a different one',
    );
  });

  test("bad registrations and calls are bugs", () => {
    const [a] = tables(1);
    a.register("one", () => {});
    expect(() => a.register("one", () => {})).toThrow('function "one" is registered twice on cpu 0');
    expect(() => a.call(2, 0, 0)).toThrow("cpu 0: call of function 2; valid are 1 to 1");
    expect(() => a.call(0, 9, 0)).toThrow("cpu 0: call of function 0 with argument 9");
    for (let i = 2; i < 256; i++) a.register(`f${i}`, () => {});
    expect(() => a.register("late", () => {})).toThrow('"late": the table is full with 256 functions');
  });
});
