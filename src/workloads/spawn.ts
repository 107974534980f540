/**
 * Every CPU has a process that forks a child, waits for its end, and forks the next: whole processes, with tasks and exit codes.
 *
 * After the test spawn of UnixBench, and will-it-scale's manner of a process a CPU.  The child finds its parent's pages as they are
 * and writes to some of them; the parent finds them unchanged.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { User, YieldingUser } from "../process/tasks/user.ts";
import type { WorkloadDescription } from "./description.ts";
import { pagesOption, requireRoom } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "spawn",
  summary:
    "Every CPU has a process that forks a child and waits for its end, again and again (UnixBench spawn).",
  phases: ["spawn"],
  operation: "one fork, with the child's run and exit, and the parent's wait",
  options: {
    pages: pagesOption(16),
    writes: {
      type: "integer",
      default: 4,
      min: 0,
      max: 262_144,
      help: "pages that the child writes to, at most all",
    },
  },
};

export const needs = ["scheduler"] as const;

/** Children that have ended for a parent on this CPU, in this run. */
let ended = 0;

export function setup(kernel: Kernel, options: ProgramOptions): null {
  const [pages, writes] = [options.pages as number, options.writes as number];
  requireRoom(kernel, describe.name, pages, 3);
  kernel.scheduler.use(PROGRAMS);
  for (let cpu = 0; cpu < kernel.cpus; cpu++)
    kernel.scheduler.spawn("parent", [pages, Math.min(pages, writes)], [cpu]);
  return null;
}

export function attach({ scheduler }: Kernel): void {
  scheduler.use(PROGRAMS);
}

export function run(kernel: Kernel): void {
  kernel.phase("spawn", () => {
    ended = 0;
    kernel.scheduler.runTasks();
    return ended;
  });
}

export function check(kernel: Kernel): void {
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  kernel.scheduler.check();
}

const PROGRAMS = { parent, child };

function* parent(user: YieldingUser, pages: number, writes: number): Generator<undefined, void> {
  const stamp = user.getpid();
  const start = user.mmap(pages * PAGE_BYTES);
  if (start < 0) bug(`mmap of ${pages} pages gives ${start}`);
  for (let page = 0; page < pages; page++) user.write32(start + page * PAGE_BYTES, stamp);
  for (let done = 0; user.more(done); done++) {
    const pid = user.fork("child", start, pages, writes, stamp);
    if (pid < 0) bug(`fork gives ${pid}`);
    const { pid: found, status } = yield* user.wait4(pid);
    if (found !== pid || status !== 0) bug(`wait for ${pid} finds ${found} with status ${status}`);
    expectAll(user, start, pages, stamp);
    ended++;
  }
}

function child(user: User, start: number, pages: number, writes: number, stamp: number): void {
  expectAll(user, start, pages, stamp);
  for (let page = 0; page < writes; page++) user.write32(start + page * PAGE_BYTES, -stamp);
}

function expectAll(user: User | YieldingUser, start: number, pages: number, stamp: number): void {
  for (let page = 0; page < pages; page++) {
    const found = user.read32(start + page * PAGE_BYTES);
    if (found !== stamp) bug(`process ${user.getpid()}: page ${page} holds ${found}, expected ${stamp}`);
  }
}
