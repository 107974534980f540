import { describe, expect, test } from "vitest";
import { Random } from "../../../src/memory/random.ts";
import { CpuMasks, MASK_CPUS } from "../../../src/sync/cpumask.ts";
import { soloCpu } from "../../support/solo.ts";

const { memory } = soloCpu();
const [A, B, OWN] = [1024, 1056, 1088];

function members(masks: CpuMasks, mask: number): number[] {
  const found: number[] = [];
  for (let cpu = masks.next(mask, -1); cpu >= 0; cpu = masks.next(mask, cpu)) found.push(cpu);
  return found;
}

describe("cpumask", () => {
  test.each([1, 31, 32, 33, 64, 256, 300])("agrees with a set of numbers on %d CPUs", (cpus) => {
    const masks = new CpuMasks(memory, cpus);
    const random = new Random().seed(7, cpus);
    masks.clear(A);
    const model = new Set<number>();
    for (let i = 0; i < 500; i++) {
      const cpu = random.below(cpus);
      if (random.below(2) === 0) {
        expect(masks.add(A, cpu)).toBe(model.has(cpu));
        model.add(cpu);
      } else {
        expect(masks.remove(A, cpu)).toBe(model.delete(cpu));
      }
      expect(masks.weight(A)).toBe(model.size);
      expect(masks.has(A, cpu)).toBe(model.has(cpu));
    }
    expect(members(masks, A)).toEqual([...model].sort((a, b) => a - b));
    expect(masks.isEmpty(A)).toBe(model.size === 0);
  });

  test("and, copy and own bits", () => {
    const masks = new CpuMasks(memory, 70);
    for (const mask of [A, B, OWN]) masks.clear(mask);
    for (const cpu of [0, 3, 31, 32, 69]) masks.add(A, cpu);
    for (const cpu of [3, 32, 68, 69]) masks.add(B, cpu);
    masks.and(OWN, A, B);
    expect(members(masks, OWN)).toEqual([3, 32, 69]);
    masks.addOwn(OWN, 68);
    masks.removeOwn(OWN, 3);
    masks.copy(A, OWN);
    expect(members(masks, A)).toEqual([32, 68, 69]);
    expect(masks.list(A)).toBe("32,68-69");
  });

  test("more CPUs than bits are a bug", () => {
    expect(() => new CpuMasks(memory, MASK_CPUS + 1)).toThrow("321 CPUs do not fit a cpumask of 320 bits");
  });
});
