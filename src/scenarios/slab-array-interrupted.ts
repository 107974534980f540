/**
 * SLAB: an interrupt takes two objects and gives one back while its CPU takes one from the same array.  Interrupts are off
 * meanwhile, so that it comes before or after.
 */

import type { ScenarioDescription } from "./description.ts";

export { attach, check, run, setup } from "./slab-interrupted.ts";

export const describe: ScenarioDescription = {
  name: "slab-array-interrupted",
  summary: "an interrupt takes two objects and gives one back while its CPU takes one from the same array",
  cpus: 2,
  memory: "2MiB",
  slab: "slab",
  mutants: ["slab-irqs-on"],
};
