/** The loop of tlb_flush1 to 3: each page of a region is written to, given back, and looked at again. */

import { PAGE_BYTES } from "../../memory/units.ts";
import type { SpaceLoop, SpacePart } from "./space-workload.ts";
import type { UserProgram } from "./user-program.ts";

export interface PageFlushes {
  /** Makes a region of so many pages and returns its start. */
  readonly map: (program: UserProgram, pages: number) => number;
  /** Whether what was written is there after the page was given back; else zero. */
  readonly isKept: boolean;
}

export function flushesOfPages({ map, isKept }: PageFlushes): (part: SpacePart) => SpaceLoop {
  return ({ program, pages, timed }) => ({
    step: () => {
      const start = map(program, pages);
      for (let at = start; at < start + pages * PAGE_BYTES; at += PAGE_BYTES) {
        program.touch(at, 1);
        timed(() => program.drop(at, 1));
        program.expect(at, isKept ? program.lastStamp : 0);
      }
      program.unmap(start, pages);
      return pages;
    },
  });
}
