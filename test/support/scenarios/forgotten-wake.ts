/** CPU 0 waits for a flag that CPU 1 sets without waking it; or, option of the third CPU, nobody sets it at all. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { struct, word } from "../../../src/memory/struct.ts";
import type { ScenarioDescription } from "../../../src/scenarios/description.ts";

export const describe: ScenarioDescription = {
  name: "forgotten-wake",
  summary: "a store that ends a wait, without the wake",
  cpus: 2,
  mutants: [],
};
const Mailbox = struct("mailbox", { letter: word("atomic"), flag: word("atomic", "flags") });
const PLACE = 32 * 1024;

export function attach(kernel: Kernel): void {
  kernel.regions.add("mailbox", PLACE, Mailbox);
}

export function run(kernel: Kernel): void {
  const { memory, cpu } = kernel;
  if (cpu.id === 0) memory.waitWhile(PLACE + Mailbox.flag, 1, 0);
  else memory.store(PLACE + Mailbox.flag, 1);
}
