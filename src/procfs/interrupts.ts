/**
 * /proc/interrupts: interrupts taken by each CPU since boot.
 *
 * Linux: kernel/irq/proc.c show_interrupts, arch/x86/kernel/irq.c arch_show_interrupts.  Differs: a column for every CPU of
 * the machine, where Linux leaves out those that are offline: between runs all but the reading one are.
 */

import { VECTOR_NAMES } from "../hardware/vectors.ts";
import { interruptLine } from "./layout.ts";
import type { ProcSource } from "./source.ts";

export function interrupts({ cpu, topology }: ProcSource): string {
  const cpus = Array.from({ length: topology.cpus }, (_, id) => id);
  const head = `${" ".repeat(11)}${cpus.map((id) => `CPU${String(id).padEnd(8)}`).join("")}`;
  const lines = VECTOR_NAMES.map(([label, description], vector) =>
    interruptLine(
      label,
      cpus.map((id) => cpu.interruptsTaken(vector, id)),
      description,
    ),
  );
  return [head, ...lines].map((line) => `${line}\n`).join("");
}
