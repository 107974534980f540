/** Tasks on one thread: they run to their ends in each form, and the check of tasks notices each kind of damage. */

import { beforeEach, describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { RunQueue, SignalStruct, TaskGlobals } from "../../../src/process/tasks/task-layout.ts";
import { TaskScheduler } from "../../../src/process/tasks/task-scheduler.ts";
import type { User, YieldingUser } from "../../../src/process/tasks/user.ts";
import { MmStruct } from "../../../src/process/vm-area.ts";
import { Task } from "../../../src/sync/task.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

let machine: Kernels;
let kernel: Kernel;
let scheduler: TaskScheduler;

const programs = {
  plain: (user: User, value: number): number => user.getpid() - 1000 + value,
  *generator(user: YieldingUser, value: number): Generator<undefined, number> {
    const page = user.mmap(4096);
    user.write32(page, value);
    yield;
    yield* user.schedYield();
    return user.read32(page);
  },
  step: {
    step: (_user: User, registers: number[]): "again" | number =>
      registers[0]-- > 0 ? "again" : 100 + registers[0],
  },
  *family(user: YieldingUser): Generator<undefined, number> {
    for (const name of ["plain", "generator", "step"]) user.fork(name, 3);
    let sum = 0;
    for (let i = 0; i < 3; i++) sum += (yield* user.wait4()).status >> 8;
    return sum;
  },
};

beforeEach(() => {
  machine = kernelsOf({ cpus: 1, memory: "32MiB" });
  [kernel] = machine.kernels;
  scheduler = new TaskScheduler(kernel);
  scheduler.use(programs);
});

test("a family of all forms runs, waits, and leaves nothing", () => {
  scheduler.spawn("family");
  scheduler.runTasks();
  const { ends } = scheduler.takeOutput();
  // pid 1001 gives 1 + 3, the generator 3, the step program 99.
  expect(ends.at(-1)).toMatchObject({ name: "family", status: (4 + 3 + 99) << 8 });
  expect(ends).toHaveLength(4);
  kernel.rcu.barrier();
  expect(scheduler.check()).toBe(0);
  machine.check();
});

test("a list of processes, and each by its pid", () => {
  const pids = [scheduler.spawn("plain"), scheduler.spawn("step", [5])];
  const found: number[] = [];
  scheduler.list.forEachProcess((leader) => {
    scheduler.list.forEachThread(leader, (at) => found.push(kernel.memory.read(at + Task.pid)));
  });
  expect(found).toEqual(pids);
  kernel.rcu.readLock();
  expect(kernel.memory.read(scheduler.list.find(pids[1]) + Task.pid)).toBe(pids[1]);
  expect(scheduler.list.find(999)).toBe(0);
  kernel.rcu.readUnlock();
});

test("a program that is not there is refused with those that are", () => {
  expect(() => scheduler.spawn("nothing")).toThrow(
    'there is no program "nothing" to begin with; valid are the exports family, generator, plain, step',
  );
  expect(() => scheduler.spawn("plain", [], [1])).toThrow("cpu 1 is not valid; valid are 0 to 0");
  expect(() => scheduler.use({ later: async () => {} })).toThrow("an async function cannot run on a CPU");
});

describe("the check notices", () => {
  let task: Pointer;
  const add = (at: Pointer, value: number): void => kernel.memory.write(at, kernel.memory.read(at) + value);

  beforeEach(() => {
    const pid = scheduler.spawn("plain");
    scheduler.spawn("generator");
    kernel.rcu.readLock();
    task = scheduler.list.find(pid);
    kernel.rcu.readUnlock();
    expect(scheduler.check()).toBe(2);
  });

  test.each<[string, () => void, string]>([
    ["a task that no pid finds", () => scheduler.table.detachPid(task), "K1 2 tasks are listed, 1 are in"],
    [
      "a wrong count of tasks",
      () => add(scheduler.table.at + TaskGlobals.alive, 1),
      "K1 2 tasks have not ended",
    ],
    [
      "a wrong count of a queue",
      () => add(scheduler.queues.own + RunQueue.running, -1),
      "K2 cpu 0: 2 tasks on",
    ],
    [
      "a task on another CPU's queue",
      () => add(task + Task.cpu, 1),
      "K2 task 1000 is on the run queue of cpu 0",
    ],
    ["a queued task that says it is not", () => kernel.memory.write(task + Task.onRq, 0), "on_rq is 0"],
    ["a task that is lost", lose, "K2 task 1000 is able to run, and on no queue"],
    ["a task on a CPU", () => kernel.memory.write(task + Task.onCpu, 1), "K3 task 1000 is on a CPU at rest"],
    [
      "an address space that a CPU has kept",
      () => kernel.memory.write(kernel.cpu.current + Task.activeMm, kernel.memory.read(task + Task.mm)),
      "K3 cpu 0: its own task has borrowed",
    ],
    [
      "a user too many",
      () => add(kernel.memory.read(task + Task.mm) + MmStruct.users, 1),
      "1 tasks, 2 users",
    ],
    [
      "a thread too many",
      () => add(kernel.memory.read(task + Task.signal) + SignalStruct.threadCount, 1),
      "K5 task 1000: 1 threads, 2 are counted",
    ],
    [
      "a CPU that idles for ever",
      () => add(scheduler.table.at + TaskGlobals.idleCpus, 1),
      "K6 1 CPUs are counted",
    ],
    [
      "a waiter of no futex",
      () => kernel.memory.write(task + Task.futexBucket, 1),
      "K6 1 tasks wait for a futex",
    ],
  ])("%s", (_what, damage, message) => {
    damage();
    expect(() => scheduler.check()).toThrow(message);
  });

  function lose(): void {
    const { memory } = kernel;
    const [next, previous] = [memory.read(task + Task.queued), memory.read(task + Task.queued + 1)];
    memory.write(next + 1, previous);
    memory.write(previous, next);
    memory.write(task + Task.onRq, 0);
    add(scheduler.queues.own + RunQueue.running, -1);
  }
});
