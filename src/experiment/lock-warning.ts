/**
 * A word of warning where a kind of lock does not show what its name promises: a strict queue with more CPUs than cores,
 * and the paravirtual lock where no CPU ever loses its core.
 */

import { availableParallelism } from "node:os";
import type { MachineConfig } from "../machine/config.ts";
import { SURVIVES_OVERSUBSCRIPTION } from "../sync/spin-algorithm.ts";

/** What to expect of the machine's spinlocks with `cpus` CPUs on `cores` cores; null when they bear it. */
export function lockWarning(
  machine: MachineConfig,
  cpus: number,
  cores: number = availableParallelism(),
): string | null {
  if (machine.mode === "virtual") return simulatedWarning(machine);
  const { lock = "pv", tokens = "cores" } = machine;
  const survives = (SURVIVES_OVERSUBSCRIPTION as Readonly<Record<string, boolean>>)[lock] ?? true;
  if (survives || cpus <= cores || machine.mode === "explore") return null;
  const wait =
    tokens === "free"
      ? "every hand-over may wait for the host's scheduler"
      : "a hand-over may wait for a run token";
  return `lock=${lock} is first come, first served: with ${cpus} CPUs on ${cores} cores ${wait}`;
}

function simulatedWarning({ lock }: MachineConfig): string | null {
  if (lock !== "pv") return null;
  return (
    "lock=pv is lock=queued in simulated time: no CPU is ever off its core there, which is what the paravirtual " +
    "form is for"
  );
}
