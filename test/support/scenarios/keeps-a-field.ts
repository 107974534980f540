/** Keeps a count outside RAM: every second execution takes one step more.  An audit must notice. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "keeps-a-field",
  summary: "a field outside RAM survives an execution",
  cpus: 2,
  mutants: [],
};
const WORD = 32 * 1024;
let executions = 0;

export function run(kernel: Kernel): void {
  kernel.memory.add(WORD, 1);
  if (++executions % 2 === 0) kernel.memory.add(WORD + 1, 1);
}
