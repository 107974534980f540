/** CPU 0 waits a limited time for CPU 1's store.  A schedule in which the time runs out first must be found. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { bug } from "../../../src/memory/bug.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "timed-wait",
  summary: "a wait whose time may run out before the store that ends it",
  cpus: 2,
  mutants: [],
};
const WORD = 32 * 1024;

export function run(kernel: Kernel): void {
  const { memory, cpu } = kernel;
  if (cpu.id === 1) {
    for (let i = 0; i < 4; i++) memory.read(WORD + 8);
    memory.store(WORD, 1);
    memory.wake(WORD);
  } else if (!memory.waitWhile(WORD, -1, 0, 1000)) bug("the time ran out");
}
