/**
 * A step program waits for a futex and is woken from another CPU while its own is on the way to the next task.  It shall go on
 * on a third, but not before its registers are saved.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { User } from "../process/tasks/user.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "task-wake-up",
  summary: "a step program that sleeps on one CPU is woken from another, and goes on on a third",
  cpus: 3,
  memory: "2MiB",
  stepLimit: 60_000,
  mutants: ["wake-up-no-on-cpu-wait", "context-switch-on-cpu-early"],
};
export const needs = ["scheduler"] as const;

const PAGE = 4096;
const LAST_CPU = 2;

/** `begun`: how often the step program has counted its beginning. */
function programs(kernel: Kernel, begun: Pointer): Record<string, unknown> {
  const { memory, cpu } = kernel;
  return {
    main(user: User): void {
      const word = user.mmap(PAGE);
      const tid = user.thread("sleeper", word);
      if (word < 0 || tid < 0) bug("no memory for a thread");
      memory.waitWhile(begun, -1, 0);
      if (user.schedSetaffinity(tid, [LAST_CPU]) !== 0) bug("a step program cannot be moved");
      while (user.futexWake(word, 1) === 0) cpu.turn.relax();
      // A return would end the process.
      user.exit();
    },
    sleeper: {
      step(user: User, registers: number[]): "again" | number {
        if (registers[1] === 0) {
          registers[1] = 1;
          memory.add(begun, 1);
          memory.wake(begun);
          return "again";
        }
        user.futexWait(registers[0], 0);
        return 0;
      },
    },
  };
}

export function setup(kernel: Kernel): Pointer {
  const begun = kernel.pages.getZeroedPage(Gfp.KERNEL);
  kernel.scheduler.use(programs(kernel, begun));
  kernel.scheduler.spawn("main");
  return begun;
}

export function attach(kernel: Kernel, _options: object, begun: Pointer): void {
  kernel.scheduler.use(programs(kernel, begun));
}

export function run(kernel: Kernel): void {
  kernel.scheduler.runTasks();
}

export function check(kernel: Kernel, _options: object, _values: unknown, begun: Pointer): void {
  kernel.rcu.barrier();
  kernel.scheduler.check();
  checkSpaces(kernel);
  const count = kernel.memory.read(begun);
  if (count !== 1) bug(`the step program has begun ${count} times: it went on with old registers`);
}
