/**
 * Every CPU maps a region and unmaps it untouched: changes of the address space alone.
 *
 * After will-it-scale's mmap1, whose region is 128 MiB; the size hardly matters, for no page is there.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { WorkloadDescription } from "./description.ts";
import { UserProgram } from "./parts/user-program.ts";
import {
  endSpaces,
  MODE_OPTION,
  makeSpaces,
  nameSpaces,
  pagesOption,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mmap1",
  summary: "Every CPU maps a region and unmaps it untouched (will-it-scale mmap1).",
  phases: ["mmap"],
  operation: "one mmap and one munmap",
  options: { ...MODE_OPTION, pages: pagesOption(128) },
};

export const setup = (kernel: Kernel, options: ProgramOptions): UserSpaces => makeSpaces(kernel, options);

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, shared as UserSpaces);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const pages = options.pages as number;
  const program = new UserProgram(kernel, shared as UserSpaces);
  program.enter();
  kernel.phase("mmap", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      program.unmap(program.map(pages), pages);
      kernel.cpu.endOperation();
    }
    return done;
  });
  program.leave();
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  endSpaces(kernel, shared as UserSpaces);
}
