/**
 * Two CPUs free areas that belong to the same node's lazy tree: none may be lost, and the tree stays one.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vmap-lazy-list",
  summary: "CPUs free areas into one lazy tree; all are there afterwards, and the tree is sound",
  cpus: 2,
  memory: "2MiB",
  mutants: ["vmap-lazy-unlocked"],
};

const EACH = 2;

/** All are asked for by the boot CPU: they go back to its node. */
export function setup({ vmap, cpus }: Kernel): { areas: readonly number[] } {
  const areas = Array.from({ length: EACH * cpus }, () => vmap.vmalloc(PAGE_BYTES));
  if (areas.includes(0)) bug(`no memory for ${areas.length} areas of one page`);
  return { areas };
}

export function run(
  { cpu, cpus, vmap }: Kernel,
  _options: object,
  { areas }: { areas: readonly number[] },
): void {
  for (let i = 0; i < EACH; i++) vmap.vfree(areas[i * cpus + cpu.id]);
}

export function check({ vmap }: Kernel): void {
  checkVmap(vmap);
}
