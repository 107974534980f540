/**
 * Stopping the machine: the first CPU that fails sets the panic word; every wait and every end of an operation watches
 * it, so all CPUs unwind within one operation.
 */

import { Control, CpuControl, cpuControl } from "../memory/control.ts";

/** Claims the panic for `cpu` (or PANIC_MAIN); false if another was first.  Wakes every sleeper. */
export function raisePanic(words: Int32Array, cpu: number, cpus: number): boolean {
  const first = Atomics.compareExchange(words, Control.panic, 0, cpu < 0 ? cpu : cpu + 1) === 0;
  for (let other = 0; other < cpus; other++) {
    Atomics.notify(words, cpuControl(other) + CpuControl.state);
    Atomics.notify(words, cpuControl(other) + CpuControl.serial);
  }
  return first;
}
