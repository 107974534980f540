/**
 * Storms of function calls: every CPU calls others, one, many or all, with and without waiting, while it is called
 * itself.  What was sent and what arrived must add up.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { MASK_CPUS } from "../sync/cpumask.ts";
import type { WorkloadDescription } from "./description.ts";
import { calledFunction } from "./parts/call-target.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "ipi-stress",
  summary: "Every CPU calls functions on one, many or all others, while it is called itself.",
  phases: ["stress"],
  operation: "one call, to however many CPUs",
  options: {
    broadcasts: {
      type: "integer",
      default: 100,
      min: 0,
      max: 1000,
      help: "of 1000 calls, those to all CPUs",
    },
    waits: { type: "number", default: 0.5, min: 0, max: 1, help: "part of the calls that wait for the end" },
  },
  minCpus: 2,
  stress: true,
};

/** Calls on their way, as sums of their arguments. */
interface Balance {
  readonly sent: number;
  readonly received: number;
}

const MASK_WORDS = MASK_CPUS / 32;
const MANY = 200;
const ARGUMENTS = 1000;
const SCALE = 0x1_0000;

/** A cpumask for each CPU. */
export function setup(kernel: Kernel): Pointer {
  return takeScratch(kernel, MASK_WORDS * kernel.cpus);
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "masks", shared as Pointer, MASK_WORDS * kernel.cpus);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): Balance {
  const { cpu, cpus, calls, masks } = kernel;
  const mask = (shared as Pointer) + cpu.id * MASK_WORDS;
  const received = calledFunction(kernel, "receive");
  const broadcasts = options.broadcasts as number;
  const waits = (options.waits as number) * SCALE;
  let sent = 0;
  let arrived = 0;
  received.run = (argument) => {
    if (!cpu.inInterrupt && cpu.irqsEnabled) bug(`cpu ${cpu.id}: a called function runs with interrupts on`);
    arrived += argument;
  };
  // Nobody sends before all can receive.
  kernel.gate();
  kernel.phase("stress", () => {
    let done = 0;
    while (kernel.more(done)) {
      const argument = 1 + cpu.random.below(ARGUMENTS);
      const wait = cpu.random.below(SCALE) < waits;
      const what = cpu.random.below(1000);
      if (what < broadcasts) {
        calls.onEach(received.id, argument, wait);
        sent += argument * cpus;
      } else if (what < broadcasts + MANY) {
        const targets = randomMask(kernel, mask);
        calls.many(mask, received.id, argument, wait);
        sent += argument * (masks.has(mask, cpu.id) ? targets - 1 : targets);
      } else {
        calls.single(cpu.random.below(cpus), received.id, argument, wait);
        sent += argument;
      }
      done++;
      cpu.endOperation();
    }
    return done;
  });
  // What was sent before the gate is pending after it.
  kernel.gate();
  cpu.poll();
  kernel.gate();
  return { sent, received: arrived };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const balances = values as readonly Balance[];
  const sent = balances.reduce((sum, balance) => sum + balance.sent, 0);
  const received = balances.reduce((sum, balance) => sum + balance.received, 0);
  if (sent !== received)
    bug(`calls were sent with arguments of ${sent} in sum, and received with ${received}`);
  freeScratch(kernel, shared as Pointer, MASK_WORDS * kernel.cpus);
}

/** Fills `mask` with some CPUs; how many. */
function randomMask(kernel: Kernel, mask: Pointer): number {
  const { cpu, cpus, masks } = kernel;
  let count = 0;
  masks.clear(mask);
  for (let target = 0; target < cpus; target++) {
    if (cpu.random.below(2) === 0) continue;
    masks.addOwn(mask, target);
    count++;
  }
  return count;
}
