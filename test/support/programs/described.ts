/** Says what its options are, and returns them. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { WorkloadDescription } from "../../../src/workloads/description.ts";

export const describe: WorkloadDescription = {
  name: "described",
  summary: "Returns its options.",
  phases: [],
  operation: "nothing",
  options: { size: { type: "integer", default: 3, min: 1, max: 9, help: "anything" } },
  minCpus: 2,
};

export function run(_kernel: Kernel, options: ProgramOptions): ProgramOptions {
  return options;
}
