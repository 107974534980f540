/**
 * Every CPU maps a memory file of its own private, writes to each page, and unmaps it: faults that copy the file's pages.
 *
 * After will-it-scale's page_fault2, whose file is 128 MiB on disk.
 */

import type { WorkloadDescription } from "./description.ts";
import { faultsOnRegions } from "./parts/region-faults.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "page_fault2",
  summary: "Every CPU writes to each page of a private mapping of its own file (will-it-scale page_fault2).",
  phases: ["faults"],
  operation: "one page mapped, written to and unmapped; regions are finished",
  options: { ...MODE_OPTION, pages: pagesOption(128), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 4, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 2,
  hasFiles: true,
  begin: faultsOnRegions((program, pages) => program.mapFile(pages, false)),
});
