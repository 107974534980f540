/** Goes deeper and deeper into its kernel stack, or writes over its end, as `how` says. */
import { declareFrame } from "../../../src/hardware/stack-frames.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const DESCEND = declareFrame("descend", 1000);
const LEAF = declareFrame("leaf", 200);

export function run({ cpu, memory, stacks }: Kernel, { how }: ProgramOptions): void {
  const descend = (left: number): void => {
    cpu.stack.enter(left === 0 ? LEAF : DESCEND);
    if (left > 0) descend(left - 1);
    cpu.stack.leave(left === 0 ? LEAF : DESCEND);
  };
  if (cpu.id !== 1) return;
  if (how === "scribble") memory.write(stacks.stacksOf(1).task, 0x1234);
  else descend(how === "overrun" ? 8 : 7);
}
