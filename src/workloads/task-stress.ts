/**
 * A tree of processes at random: they fork, start threads, wait, run another program, sleep for futexes, are killed, move
 * between CPUs, and end in every way; what they share, and what they must not share, is checked.
 *
 * Every process has a page of its own with a value that its children find, and that no other process changes; threads add to
 * one counter under a lock made of a futex.  A step program's sum is right only if its registers have gone with it.
 * Afterwards no task, no address space and no page is left.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { User, YieldingUser } from "../process/tasks/user.ts";
import type { WorkloadDescription } from "./description.ts";
import { checkNoTasks, pagesWithoutTasks } from "./parts/tasks-back.ts";

export const describe: WorkloadDescription = {
  name: "task-stress",
  summary: "Processes and threads fork, wait, run other programs, sleep, move, are killed and end at random.",
  phases: ["stress"],
  operation: "one context switch",
  options: {
    tasks: { type: "integer", default: 2, min: 1, max: 64, help: "processes at once, for each CPU" },
    depth: { type: "integer", default: 2, min: 0, max: 5, help: "generations of children below them" },
  },
  stress: true,
  explore: { operations: 1, options: { tasks: 1, depth: 1 } },
};
export const needs = ["scheduler"] as const;

type Calls = Generator<undefined, void>;

/** What a process has in its page: who it is, a lock, a count, room for the ends of threads. */
const VALUE = 0;
const LOCK = 64;
const COUNT = 128;
const ENDS = 256;
const THREADS = 4;
const ROUNDS = 6;
const STEPS = 40;
const KILLED = 9;
const SEGV = 11;

type Chance = (among: number) => number;

function programsOf({ cpu, cpus }: Kernel): Record<string, unknown> {
  const chance: Chance = (among) => cpu.random.below(among);
  return { ...familyPrograms(chance), ...threadPrograms(chance), ...childPrograms(chance, cpus) };
}

/** The tree of processes: each has children of a random kind, and threads. */
function familyPrograms(chance: Chance): Record<string, unknown> {
  return {
    *process(user: YieldingUser, inherited: number, value: number, depth: number): Calls {
      const page = user.mmap(PAGE_BYTES);
      if (page < 0) bug(`mmap gives ${page}`);
      if (inherited !== 0 && user.read32(inherited + VALUE) !== value)
        bug(`process ${user.getpid()} finds ${user.read32(inherited + VALUE)}, its parent had ${value}`);
      const own = user.getpid();
      user.write32(page + VALUE, own);
      if (inherited !== 0) user.write32(inherited + VALUE, 0);
      for (let round = 0; round < 3; round++) {
        if (depth > 0) yield* haveChild(user, page, depth, chance);
        yield* runThreads(user, page, chance);
        yield;
        if (user.read32(page + VALUE) !== own) bug(`process ${own} has lost its value`);
      }
      while ((yield* user.wait4()).pid > 0);
    },
  };
}

function* haveChild(user: YieldingUser, page: number, depth: number, chance: Chance): Calls {
  switch (chance(6)) {
    case 0:
      return yield* expectEnd(user, user.fork("faulty"), SEGV);
    case 1: {
      const pid = user.fork("endless", page);
      if (chance(2) === 0) yield* user.schedYield();
      user.kill(pid, KILLED);
      return yield* expectEnd(user, pid, KILLED);
    }
    case 2:
      return yield* expectEnd(user, user.fork("stepper", STEPS), ((STEPS * 3) & 0xff) << 8);
    case 3:
      return yield* expectEnd(user, user.fork("replaced", page), 7 << 8);
    case 4:
      user.fork("orphanMaker", page);
      return;
    default: {
      const pid = user.fork("process", page, user.read32(page + VALUE), depth - 1);
      return yield* expectEnd(user, pid, 0);
    }
  }
}

function* expectEnd(user: YieldingUser, pid: number, status: number): Calls {
  if (pid === -user.ERRNO.ENOMEM) return;
  const found = yield* user.wait4(pid);
  if (found.pid !== pid || found.status !== status)
    bug(`child ${pid} ends with status ${found.status} (pid ${found.pid}), expected ${status}`);
}

function* runThreads(user: YieldingUser, page: number, chance: Chance): Calls {
  const count = 1 + chance(THREADS);
  const before = user.read32(page + COUNT);
  const { VM, SIGHAND, THREAD, CHILD_CLEARTID } = user.CLONE;
  let started = 0;
  for (let i = 0; i < count; i++) {
    const childTid = page + ENDS + 4 * i;
    user.store32(childTid, 1);
    const options = { flags: VM | SIGHAND | THREAD | CHILD_CLEARTID, childTid };
    if (user.clone(options, chance(3) === 0 ? "plainAdder" : "adder", page) > 0) started++;
    else user.store32(childTid, 0);
  }
  for (let i = 0; i < count; i++)
    while (user.load32(page + ENDS + 4 * i) !== 0) yield* user.futexWait(page + ENDS + 4 * i, 1);
  const added = user.read32(page + COUNT) - before;
  if (added !== started * ROUNDS) bug(`${started} threads have added ${added}, not ${started * ROUNDS}`);
}

/** All are woken: one might be a plain function that lies below another one that waits. */
function unlock(user: User | YieldingUser, page: number): void {
  user.store32(page + LOCK, 0);
  user.futexWake(page + LOCK, THREADS);
}

function threadPrograms(chance: Chance): Record<string, unknown> {
  return {
    *adder(user: YieldingUser, page: number): Calls {
      for (let i = 0; i < ROUNDS; i++) {
        while (user.compareAndSwap(page + LOCK, 0, 1) !== 0) yield* user.futexWait(page + LOCK, 1);
        const before = user.read32(page + COUNT);
        if (chance(2) === 0) yield* user.schedYield();
        user.write32(page + COUNT, before + 1);
        unlock(user, page);
      }
    },
    plainAdder(user: User, page: number): void {
      for (let i = 0; i < ROUNDS; i++) {
        while (user.compareAndSwap(page + LOCK, 0, 1) !== 0) user.futexWait(page + LOCK, 1);
        user.write32(page + COUNT, user.read32(page + COUNT) + 1);
        unlock(user, page);
      }
    },
    *endless(user: YieldingUser, page: number): Calls {
      for (;;) {
        if (chance(3) === 0) yield* user.futexWait(page + VALUE, user.read32(page + VALUE));
        else yield* user.schedYield();
      }
    },
  };
}

/** Children that end in a way of their own. */
function childPrograms(chance: Chance, cpus: number): Record<string, unknown> {
  return {
    faulty: (user: User): void => user.write32(16, 1),
    stepper: {
      step(user: User, registers: number[]): "again" | number {
        if (registers[0] === 0) return registers[1];
        registers[0]--;
        registers[1] += 3;
        if (chance(4) === 0) user.schedYield();
        if (chance(16) === 0) user.schedSetaffinity(0, [chance(cpus)]);
        return "again";
      },
    },
    *replaced(user: YieldingUser, page: number): Calls {
      for (let i = chance(3); i > 0; i--) user.thread("endless", page);
      if (chance(2) === 0) yield;
      const failed = yield* user.exec("fresh", 7);
      bug(`exec gives ${failed}`);
    },
    fresh(user: User, status: number): number {
      const heap = user.brk();
      if (user.brk(heap + PAGE_BYTES) !== heap + PAGE_BYTES) bug("a new program has no heap");
      user.write32(heap, status);
      if (user.getpid() !== user.gettid()) bug("after exec the only thread is not the leader");
      return user.read32(heap);
    },
    *orphanMaker(user: YieldingUser, page: number): Calls {
      user.fork("orphan", page);
      if (chance(2) === 0) yield;
    },
    *orphan(user: YieldingUser): Calls {
      for (let i = 0; i < 4; i++) yield* user.schedYield();
    },
  };
}

/** Pages that were free or slabs when there was no task. */
export function setup(kernel: Kernel): number {
  return pagesWithoutTasks(kernel);
}

export function attach(kernel: Kernel): void {
  kernel.scheduler.use(programsOf(kernel));
}

export function run(kernel: Kernel, { tasks, depth }: ProgramOptions): void {
  const { scheduler } = kernel;
  kernel.phase("stress", () => {
    const before = scheduler.switches;
    let done = 0;
    do {
      for (let i = 0; i < (tasks as number); i++) scheduler.spawn("process", [0, 0, depth as number]);
      scheduler.runTasks();
      scheduler.takeOutput();
      kernel.takeLog();
      done = scheduler.switches - before;
    } while (kernel.anotherRound(done));
    return done;
  });
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, pages: unknown): void {
  checkNoTasks(kernel, pages as number);
}
