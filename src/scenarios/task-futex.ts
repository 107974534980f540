/** A thread waits for a word to change, another changes it and wakes: the change and the look may meet anywhere. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { User, YieldingUser } from "../process/tasks/user.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "task-futex",
  summary: "a thread sleeps for a word to change, another changes it and wakes who sleeps",
  cpus: 2,
  memory: "2MiB",
  stepLimit: 60_000,
  mutants: ["futex-looks-first"],
};
export const needs = ["scheduler"] as const;

const PAGE = 4096;

/** `begun`: set when the waiter is about to look. */
function programs({ memory }: Kernel, begun: Pointer): Record<string, unknown> {
  return {
    main(user: User): void {
      const word = user.mmap(PAGE);
      user.write32(word, 0);
      if (user.thread("waiter", word) < 0) bug("no memory for a thread");
      memory.waitWhile(begun, -1, 0);
      user.store32(word, 1);
      user.futexWake(word, 1);
      // A return would end the process.
      user.exit();
    },
    *waiter(user: YieldingUser, word: number): Generator<undefined, void> {
      let value = user.load32(word);
      memory.store(begun, 1);
      memory.wake(begun);
      for (; value === 0; value = user.load32(word)) yield* user.futexWait(word, 0);
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

export function run({ scheduler }: Kernel): void {
  scheduler.runTasks();
}

export function check({ rcu, scheduler }: Kernel): void {
  rcu.barrier();
  const left = scheduler.check();
  if (left !== 0) bug(`${left} tasks are left`);
}
