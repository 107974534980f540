/** The loop of page_fault1 to 3: map a region, write to each of its pages, unmap it. */

import type { SpaceLoop, SpacePart } from "./space-workload.ts";
import type { UserProgram } from "./user-program.ts";

/** `map` makes a region of so many pages and returns its start. */
export function faultsOnRegions(
  map: (program: UserProgram, pages: number) => number,
): (part: SpacePart) => SpaceLoop {
  return ({ program, pages, verifies }) => ({
    step: () => {
      const start = map(program, pages);
      program.touch(start, pages);
      if (verifies) program.verify(start, pages, program.lastStamp);
      program.unmap(start, pages);
      return pages;
    },
  });
}
