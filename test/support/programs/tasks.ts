/** A user program that tries the system calls on tasks; what it prints is the same on any number of CPUs. */

import type { User, WaitResult, YieldingUser } from "../../../src/index.ts";

type Calls<T = void> = Generator<undefined, T>;

const PAGE = 4096;

export function faulty(user: User): void {
  user.write32(PAGE, 1);
}

export function* sleeper(user: YieldingUser, page: number): Calls {
  for (;;) yield* user.futexWait(page, 0);
}

/** Without a parent's pid: leaves a child behind that has it. */
export function* orphan(user: YieldingUser, parent: number): Calls {
  if (parent === 0) user.fork("orphan", user.getpid());
  else {
    while (user.getppid() === parent) yield* user.schedYield();
    user.print(`orphan: its parent is ${user.getppid()}`);
  }
}

/** A process of three threads, one of which (with the process's pid) runs another program. */
export function* group(user: YieldingUser, pid: number): Calls {
  if (pid !== 0) {
    yield* user.schedYield();
    user.print(`exec of nothing: ${yield* user.exec("nothing")}`);
    yield* user.exec("fresh", pid);
  }
  const page = user.mmap(PAGE);
  user.thread("sleeper", page);
  user.thread("group", user.getpid());
  yield* sleeper(user, page);
}

export function fresh(user: User, pid: number): number {
  const heap = user.brk();
  const isLeader = user.getpid() === pid && user.gettid() === pid;
  user.print(`exec: ${isLeader ? "the leader" : "not the leader"}, heap ${user.brk(heap + PAGE) - heap}`);
  return 77;
}

export const counter = {
  step(_user: User, registers: number[]): "again" | number {
    if (registers[0] === 0) return registers[1];
    registers[0]--;
    registers[1]++;
    return "again";
  },
};

/** A step that waits begins again: its child is made in a step of its own. */
export const parent = {
  step(user: User, registers: number[]): "again" | number {
    if (registers[1] === 0) {
      registers[1] = user.fork("counter", 9);
      return "again";
    }
    return user.wait4(registers[1]).status >> 8;
  },
};

export function* main(user: YieldingUser): Calls<number> {
  const page = user.mmap(PAGE);
  user.write32(page, 0);
  const tell = (what: string, { status }: WaitResult): void => user.print(`${what}: status ${status}`);
  const ended = (pid: number): Calls<WaitResult> => user.wait4(pid);
  tell("faulty", yield* ended(user.fork("faulty")));
  const asleep = user.fork("sleeper", page);
  user.print(`WNOHANG: ${(yield* user.wait4(asleep, user.WAIT.NOHANG)).pid}`);
  user.kill(asleep, 9);
  tell("killed", yield* ended(asleep));
  tell("group", yield* ended(user.fork("group", 0)));
  tell("counter", yield* ended(user.fork("counter", 20)));
  tell("parent", yield* ended(user.fork("parent", 0)));
  tell("orphan maker", yield* ended(user.fork("orphan", 0)));
  user.print(`no child: ${(yield* user.wait4()).pid}`);
  const errors = [user.kill(9999, 9), user.kill(user.getpid(), 1), user.fork("main", 0.5)];
  user.print(`errors: ${errors.join(" ")} ${user.clone({ flags: user.CLONE.THREAD }, "main")}`);
  user.print(`affinity: ${user.schedSetaffinity(0, [])} ${user.schedSetaffinity(0, [999])}`);
  user.print(
    `futex: ${yield* user.futexWait(page, 5)} ${yield* user.futexWait(page + 2, 0)} ${user.futexWake(page)}`,
  );
  tries(user, page);
  return user.exitGroup(4);
}

function tries(user: YieldingUser, page: number): void {
  try {
    user.read32(8);
  } catch (error) {
    const { name, signal, code } = error as Error & { signal: string; code: string };
    user.print(`caught: ${name} ${signal} ${code}`);
  }
  user.write64(page + 8, 2 ** 40 + 5);
  user.write16(page + 19, 0x1234);
  user.copy(page + 32, page + 8, 16);
  user.fill(page + 64, 5, 0xab);
  const found = [
    user.read64(page + 32),
    user.read16(page + 43),
    user.read8(page + 68),
    user.read32(page + 65),
  ];
  user.print(`memory: ${found.map((value) => value.toString(16)).join(" ")}`);
  user.print(
    `atomics: ${user.fetchAdd(page, -1)} ${user.compareAndSwap(page, 0xffffffff, 6)} ${user.load32(page)}`,
  );
}
