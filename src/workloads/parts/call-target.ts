/** The called side of the interrupt workloads. */

import type { Kernel } from "../../machine/kernel.ts";
import type { Pointer } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";

const EVERY_BIT = -1;
const registered = new WeakMap<object, FunctionId>();

/** The id of a function that does nothing: registered once a machine, by every CPU. */
export function emptyFunction(kernel: Kernel): FunctionId {
  let id = registered.get(kernel.functions);
  if (id === undefined) {
    id = kernel.functions.register("workload: nothing", () => {});
    registered.set(kernel.functions, id);
  }
  return id;
}

/** Answers calls until the word `over` is not 0: between operations, or `halted`. */
export function callTarget(kernel: Kernel, halted: boolean, over: Pointer): null {
  const { cpu, memory } = kernel;
  kernel.gate();
  if (halted) memory.waitWhile(over, EVERY_BIT, 0);
  else while (memory.load(over) === 0) cpu.endOperation();
  return null;
}
