/** A whole machine on the test's own thread: the kernel of each CPU, all online, which answer each other's interrupts. */

import { attachKernel, bootKernel } from "../../src/machine/boot.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import { resolveConfig } from "../../src/machine/config.ts";
import { checkKernel } from "../../src/machine/inspect.ts";
import type { Kernel } from "../../src/machine/kernel.ts";
import { planMemory } from "../../src/mm/boot/mm-image.ts";
import { oneThread } from "./one-thread.ts";

export interface Kernels {
  /** One a CPU. */
  readonly kernels: readonly Kernel[];
  /** Every invariant of the machine; the free pages. */
  check(): number;
}

export function kernelsOf(machine: MachineConfig & { readonly cpus: number }): Kernels {
  const config = resolveConfig({ memory: "16MiB", ...machine });
  const { ramBytes } = planMemory(config.topology);
  const { all, control } = oneThread(config.topology.possibleCpus, () => {}, ramBytes);
  const parts = all.map((cpu) => ({ cpu, memory: cpu.memory, control, config }));
  const { kernel: first } = bootKernel(parts[0]);
  const kernels = [first, ...parts.slice(1, config.cpus).map(attachKernel)];
  for (const kernel of kernels) kernel.bringUp(kernel.cpu.id);
  return { kernels, check: () => checkKernel(first).freePages };
}
