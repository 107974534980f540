/**
 * A process has written to `pages` pages and forks; the child writes to each of them and ends, and the parent writes to each again.
 * Phases: fork, copy, end, reuse; an operation is a fork, a page, an end.
 */

import type { Kernel } from "../../src/machine/kernel.ts";
import { PAGE_BYTES } from "../../src/memory/units.ts";
import { UserProgram } from "../../src/workloads/parts/user-program.ts";
import { endSpaces, makeSpaces, type UserSpaces } from "../../src/workloads/parts/user-space.ts";

interface Options {
  readonly pages: number;
}

export const setup = (kernel: Kernel): UserSpaces => makeSpaces(kernel, {});

export function run(kernel: Kernel, { pages }: Options, shared: UserSpaces): void {
  const { processes } = kernel;
  const program = new UserProgram(kernel, shared);
  program.enter();
  const start = program.map(pages);
  program.touch(start, pages);
  for (let done = 0; kernel.more(done); done++) {
    let child = 0;
    kernel.phase("fork", () => {
      child = processes.calls.fork(program.mm);
      return 1;
    });
    if (child < 0) throw new Error(`fork gives ${child}`);
    processes.use(child);
    kernel.phase("copy", () => write(kernel, start, pages));
    processes.use(program.mm);
    kernel.phase("end", () => {
      processes.spaces.put(child);
      return 1;
    });
    kernel.phase("reuse", () => write(kernel, start, pages));
    kernel.cpu.endOperation();
  }
  program.unmap(start, pages);
  program.leave();
}

function write({ paging }: Kernel, start: number, pages: number): number {
  const { user } = paging;
  for (let page = 0; page < pages; page++) user.write(start + page * PAGE_BYTES, page);
  return pages;
}

export function check(kernel: Kernel, _options: unknown, _values: unknown, shared: UserSpaces): void {
  endSpaces(kernel, shared);
}
