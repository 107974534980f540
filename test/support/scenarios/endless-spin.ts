/** CPU 0 spins on a word that CPU 1 changes only after CPU 0 has ended. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "endless-spin",
  summary: "two CPUs wait for each other without sleeping",
  cpus: 2,
  mutants: [],
  stepLimit: 500,
};
const WORD = 32 * 1024;

export function run(kernel: Kernel): void {
  const { memory, cpu } = kernel;
  while (memory.load(WORD + cpu.id) === 0) cpu.turn.relax();
  memory.store(WORD + 1 - cpu.id, 1);
}
