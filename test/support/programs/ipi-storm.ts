/**
 * Every CPU calls a function on others at random, in all forms.  The function counts, in the target's own words, who
 * called it; at the end the targets' counts must equal what the callers have counted.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { ImageLayout } from "../../../src/memory/image.ts";
import { CpuMask, CpuMasks } from "../../../src/sync/cpumask.ts";
import { Functions } from "../../../src/sync/functions.ts";
import { CrossCalls } from "../../../src/sync/ipi.ts";
import { OnlineCpus } from "../../../src/sync/online.ts";
import { bindImage } from "../one-thread.ts";

/** counts[target * cpus + caller], written by the target alone. */
const COUNTS = 1 << 19;

interface Parts {
  calls: CrossCalls;
  online: OnlineCpus;
  masks: CpuMasks;
  mask: number;
  count: number;
}

function attach(kernel: Kernel): Parts {
  const { cpu, memory, cpus } = kernel;
  const layout = new ImageLayout();
  const functionSlot = Functions.declare(layout);
  const onlineSlot = OnlineCpus.declare(layout);
  const slots = CrossCalls.declare(layout, cpus);
  const mask = layout.perCpu("mask", CpuMask);
  bindImage(layout);
  const masks = new CpuMasks(memory, cpus);
  const online = new OnlineCpus(masks, onlineSlot);
  const functions = new Functions(cpu, functionSlot);
  const count = functions.register("count", (on, caller) => {
    if (on.irqsEnabled) throw new Error(`cpu ${on.id}: a call runs with interrupts on`);
    const at = COUNTS + on.id * cpus + caller;
    memory.write(at, memory.read(at) + 1);
  });
  const calls = new CrossCalls({ cpu, masks, online, functions, slots });
  return { calls, online, masks, mask: mask.of(cpu.id), count };
}

export function setup(kernel: Kernel): null {
  kernel.memory.fill(COUNTS, kernel.cpus * kernel.cpus, 0);
  return null;
}

/** What this CPU has asked of each. */
export function run(kernel: Kernel, options: ProgramOptions): number[] {
  const { cpu, cpus } = kernel;
  const { calls, online, masks, mask, count } = attach(kernel);
  const asked: number[] = new Array(cpus).fill(0);
  online.bringUp(cpu.id);
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
        const before = kernel.memory.load(COUNTS + target * cpus + cpu.id);
        calls.single(target, count, cpu.id, wait);
        asked[target]++;
        const after = kernel.memory.load(COUNTS + target * cpus + cpu.id);
        if (wait && after <= before) throw new Error(`cpu ${cpu.id}: a synchronous call has not run`);
      }
    }
    cpu.endOperation();
  }
  kernel.gate();
  cpu.poll();
  kernel.gate();
  online.takeDown(cpu.id);
  return asked;
}

export function check(kernel: Kernel, _options: ProgramOptions, values: readonly unknown[]): void {
  const { cpus, memory } = kernel;
  for (let target = 0; target < cpus; target++) {
    for (let caller = 0; caller < cpus; caller++) {
      const ran = memory.read(COUNTS + target * cpus + caller);
      const asked = (values[caller] as number[])[target];
      if (ran !== asked)
        throw new Error(`cpu ${target} ran ${ran} calls of cpu ${caller}, which made ${asked}`);
    }
  }
}
