/** CPU 1 stands deep in its stack while CPU 0 interrupts it, and the interrupt's handler goes deep, too. */
import { declareFrame } from "../../../src/hardware/stack-frames.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const DEEP = declareFrame("deep", 6000);
const HANDLER = declareFrame("handler", 5000);

/** Id of the handler. */
export function attach({ functions }: Kernel): number {
  return functions.register("deep-handler", (cpu) => {
    cpu.stack.enter(HANDLER);
    cpu.stack.leave(HANDLER);
  });
}

export function run(kernel: Kernel, _options: ProgramOptions, _shared: unknown, handler: unknown): void {
  const { cpu, calls } = kernel;
  cpu.stack.enter(DEEP);
  kernel.gate();
  if (cpu.id === 0) calls.single(1, handler as number, 0, true);
  kernel.gate();
  cpu.stack.leave(DEEP);
  cpu.endOperation();
}
