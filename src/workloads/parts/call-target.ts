/** The called side of the workloads that send interrupts. */

import type { Kernel } from "../../machine/kernel.ts";
import type { Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { FunctionId } from "../../sync/functions.ts";

const EVERY_BIT = -1;
/** What an operation of a CPU that is called computes, in simulated time; elsewhere its own instructions are real. */
const OPERATION_NS = 100;

/**
 * A function that other CPUs can call by its id.  Ids are given once a machine, but what a call does changes with each
 * run: `run` is this CPU's part of the present one.
 */
export interface CalledFunction {
  readonly id: FunctionId;
  run: (argument: number) => void;
}

/** What this thread has registered with each machine, by name. */
const registered = new WeakMap<object, Map<string, CalledFunction>>();

/** The function `name`; every CPU of the machine asks for the same ones in the same order. */
export function calledFunction(kernel: Kernel, name: string): CalledFunction {
  const { functions } = kernel;
  const known = registered.get(functions) ?? new Map<string, CalledFunction>();
  registered.set(functions, known);
  let called = known.get(name);
  if (called === undefined) {
    const id = functions.register(`workload: ${name}`, (_cpu, argument) => called?.run(argument));
    called = { id, run: () => {} };
    known.set(name, called);
  }
  return called;
}

/** The id of a function that does nothing. */
export const emptyFunction = (kernel: Kernel): FunctionId => calledFunction(kernel, "nothing").id;

/** Answers calls until the word `over` is not 0: between operations, or `halted`. */
export function callTarget(kernel: Kernel, halted: boolean, over: Pointer): null {
  const { cpu, memory } = kernel;
  kernel.gate();
  if (halted) memory.waitWhile(over, EVERY_BIT, 0);
  else {
    while (memory.load(over) === 0) {
      memory.work(Work.COMPUTE, OPERATION_NS);
      cpu.endOperation();
    }
  }
  return null;
}
