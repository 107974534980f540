/**
 * Every CPU maps a region, writes to each of its pages, and unmaps it: page faults on private anonymous memory.
 *
 * After will-it-scale's page_fault1, whose region is 128 MiB.  In one address space regions lie beside each other, and VMAs
 * of neighbours merge: part of what is measured.
 */

import type { WorkloadDescription } from "./description.ts";
import { faultsOnRegions } from "./parts/region-faults.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "page_fault1",
  summary: "Every CPU maps a region, writes to each page, and unmaps it (will-it-scale page_fault1).",
  phases: ["faults"],
  operation: "one page mapped, written to and unmapped; regions are finished",
  options: { ...MODE_OPTION, pages: pagesOption(128), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 4, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  begin: faultsOnRegions((program, pages) => program.map(pages)),
});
