/** Writes through a null pointer. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "null-pointer",
  summary: "a write through a null pointer",
  cpus: 1,
  mutants: [],
};

export function run(kernel: Kernel): void {
  kernel.memory.write(4, 1);
}
