/**
 * Every CPU maps a region, writes to each of its pages, and unmaps it: page faults on private anonymous memory.
 *
 * After will-it-scale's page_fault1, whose region is 128 MiB.  In one address space regions lie beside each other, and VMAs
 * of neighbours merge: part of what is measured.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { WorkloadDescription } from "./description.ts";
import { UserProgram, VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import {
  endSpaces,
  MODE_OPTION,
  makeSpaces,
  nameSpaces,
  pagesOption,
  requireRoom,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "page_fault1",
  summary: "Every CPU maps a region, writes to each page, and unmaps it (will-it-scale page_fault1).",
  phases: ["faults"],
  operation: "one page mapped, written to and unmapped; regions are finished",
  options: { ...MODE_OPTION, pages: pagesOption(128), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
};

export function setup(kernel: Kernel, options: ProgramOptions): UserSpaces {
  requireRoom(kernel, describe.name, options.pages as number, 1);
  return makeSpaces(kernel, options);
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, shared as UserSpaces);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const pages = options.pages as number;
  const program = new UserProgram(kernel, shared as UserSpaces);
  program.enter();
  kernel.phase("faults", () => {
    let done = 0;
    while (kernel.more(done)) {
      const start = program.map(pages);
      program.touch(start, pages);
      if (options.verify === true) program.verify(start, pages, program.lastStamp);
      program.unmap(start, pages);
      done += pages;
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
