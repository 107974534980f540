/**
 * Every CPU forks, runs in the child for a moment, and ends it: with one address space for all CPUs they fork the same one.
 *
 * In the manner of will-it-scale's tests.  The child writes to some of the pages that it shares with its parent; with `verify` it
 * finds its parent's values first, and the parent finds them unchanged.
 */

import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import type { SpaceLoop, SpacePart } from "./parts/space-workload.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "fork1",
  summary: "Every CPU forks, writes to some pages in the child, and ends it.",
  phases: ["fork"],
  operation: "one fork, with the child's writes and its end",
  options: {
    ...MODE_OPTION,
    pages: pagesOption(16),
    writes: {
      type: "integer",
      default: 4,
      min: 0,
      max: 262_144,
      help: "pages that the child writes to, at most all",
    },
    ...VERIFY_OPTION,
  },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 1, options: { pages: 2, writes: 1 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  // The child's copies, and tables of both.
  regions: 3,
  begin: forksOfRegion,
});

function forksOfRegion({ kernel, options, program, pages, verifies }: SpacePart): SpaceLoop {
  const { processes, paging } = kernel;
  const writes = Math.min(pages, options.writes as number);
  const start = program.map(pages);
  program.touch(start, pages);
  const stamp = program.lastStamp;
  return {
    step: () => {
      const child = processes.calls.fork(program.mm);
      if (child < 0) bug(`cpu ${kernel.cpu.id}: fork gives ${child}`);
      processes.use(child);
      if (verifies) program.verify(start, pages, stamp);
      for (let page = 0; page < writes; page++) paging.user.write(start + page * PAGE_BYTES, ~stamp);
      if (verifies && writes > 0) program.verify(start, writes, ~stamp);
      processes.use(program.mm);
      processes.spaces.put(child);
      if (verifies) program.verify(start, pages, stamp);
      return 1;
    },
    end: () => program.unmap(start, pages),
  };
}
