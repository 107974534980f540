/** Misbehaves in one way for each of its mutants. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { bug } from "../../../src/memory/bug.ts";
import { mutant } from "../../../src/memory/mutants.ts";
import { shape } from "../../../src/memory/shape.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "ill-behaved",
  summary: "each mutant is another way to misbehave",
  cpus: 2,
  mutants: [
    "setup-throws",
    "attach-throws",
    "exception",
    "irqs-off",
    "check-waits",
    "minds-tracing",
    "heals-when-traced",
    "fails-when-traced",
  ],
};

export function setup({ pages }: Kernel): Pointer {
  if (mutant("setup-throws")) bug("setup says no");
  if (mutant("fails-when-traced") && shape.trace) bug("setup dislikes tracing");
  return pages.getZeroedPage(Gfp.KERNEL);
}

export function attach({ cpu }: Kernel): void {
  if (mutant("attach-throws") && cpu.id === 1) bug("attach says no");
}

export function run({ memory, cpu }: Kernel, _options: object, at: Pointer): void {
  if (mutant("minds-tracing") && shape.trace) for (let i = 0; i < 50; i++) memory.read(at + 9);
  memory.add(at, 1);
  if (mutant("exception")) (null as unknown as { go(): void }).go();
  if (mutant("irqs-off")) cpu.irqDisable();
}

export function check({ memory }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  if (mutant("check-waits")) memory.waitWhile(at, -1, memory.read(at));
  if (mutant("minds-tracing") || mutant("fails-when-traced")) bug("the check says no");
  if (mutant("heals-when-traced") && !shape.trace) bug("the check says no");
}
