/** What a user program may be given: integers, for its `main`. */

import { UsageError } from "../memory/bug.ts";
import { TASK_ARGUMENTS } from "../sync/task.ts";
import type { WorkloadDescription } from "../workloads/description.ts";
import type { ProgramOptions } from "./program.ts";

export const USER_PROGRAM: WorkloadDescription = {
  name: "user program",
  summary: "A process that begins with the program `main` of a file.",
  phases: ["tasks"],
  operation: "one context switch",
  options: { args: { type: "text", default: "", help: "integers for main, with commas between them" } },
};

/** The integers of option `args`.  Throws UsageError. */
export function argumentsOf({ args = "" }: ProgramOptions): number[] {
  const text = String(args).trim();
  if (text === "") return [];
  const parts = text.split(",");
  if (parts.length > TASK_ARGUMENTS)
    throw new UsageError(
      `user program: option args: ${parts.length} integers; valid are 0 to ${TASK_ARGUMENTS}`,
    );
  return parts.map((part) => {
    const value = part.trim() === "" ? Number.NaN : Number(part);
    if (!Number.isSafeInteger(value))
      throw new UsageError(
        `user program: option args: "${part}" is not valid; valid are up to 6 integers with commas between them`,
      );
    return value;
  });
}
