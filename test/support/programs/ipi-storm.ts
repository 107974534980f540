/**
 * Every CPU calls a function on others at random, in all forms.  The function counts, in the target's own words, who
 * called it; at the end the targets' counts must equal what the callers have counted.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

const MASK_WORDS = 16;

/** A word for each pair of CPUs (counts[target * cpus + caller], written by the target alone), then a mask a CPU. */
export function setup(kernel: Kernel): number {
  return kernel.pages.getFreePages(0, 4);
}

/** What this CPU has asked of each. */
export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): number[] {
  const { cpu, cpus, memory, calls, masks, functions } = kernel;
  const counts = shared as number;
  const mask = counts + cpus * cpus + cpu.id * MASK_WORDS;
  for (let caller = 0; caller < cpus; caller++) memory.write(counts + cpu.id * cpus + caller, 0);
  const count = functions.register("count", (on, caller) => {
    if (on.irqsEnabled) throw new Error(`cpu ${on.id}: a call runs with interrupts on`);
    const at = counts + on.id * cpus + caller;
    memory.write(at, memory.read(at) + 1);
  });
  const asked: number[] = new Array(cpus).fill(0);
  kernel.gate();
  for (let done = 0; kernel.more(done); done++) {
    const wait = cpu.random.below(4) !== 0;
    switch (options.broadcast ? 0 : cpu.random.below(4)) {
      case 0:
        calls.onEach(count, cpu.id, wait);
        for (let target = 0; target < cpus; target++) asked[target]++;
        break;
      case 1:
        calls.others(count, cpu.id, wait);
        for (let target = 0; target < cpus; target++) if (target !== cpu.id) asked[target]++;
        break;
      case 2: {
        masks.clear(mask);
        for (let target = 0; target < cpus; target++) {
          if (target === cpu.id || cpu.random.below(2) === 0) continue;
          masks.addOwn(mask, target);
          asked[target]++;
        }
        calls.many(mask, count, cpu.id, wait);
        break;
      }
      default: {
        const target = cpu.random.below(cpus);
        const before = memory.load(counts + target * cpus + cpu.id);
        calls.single(target, count, cpu.id, wait);
        asked[target]++;
        const after = memory.load(counts + target * cpus + cpu.id);
        if (wait && after <= before) throw new Error(`cpu ${cpu.id}: a synchronous call has not run`);
      }
    }
    cpu.endOperation();
  }
  kernel.gate();
  cpu.poll();
  kernel.gate();
  return asked;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { cpus, memory } = kernel;
  for (let target = 0; target < cpus; target++) {
    for (let caller = 0; caller < cpus; caller++) {
      const ran = memory.read((shared as number) + target * cpus + caller);
      const asked = (values[caller] as number[])[target];
      if (ran !== asked)
        throw new Error(`cpu ${target} ran ${ran} calls of cpu ${caller}, which made ${asked}`);
    }
  }
}
