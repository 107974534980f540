/** An error as plain data: a thrown one loses its fields when it crosses between threads. */

import { KernelBug, UsageError } from "../memory/bug.ts";
import { Deadlock, Nondeterminism, StepLimit } from "../memory/endings.ts";
import type { Fault } from "./program.ts";

/** `report` says who holds and waits for what; `inCheck`: the program's own check threw. */
export function faultOf(error: unknown, cpu: number, report: string, inCheck = false): Fault {
  const text = error instanceof Error ? error.message : String(error);
  const hasName = error instanceof Error && !(error instanceof KernelBug || error instanceof UsageError);
  return {
    kind: kindOf(error, inCheck),
    cpu,
    message: hasName ? `${error.name}: ${text}` : text,
    stack: error instanceof Error ? (error.stack ?? "") : "",
    report,
  };
}

function kindOf(error: unknown, inCheck: boolean): Fault["kind"] {
  if (error instanceof Deadlock) return "deadlock";
  if (error instanceof StepLimit) return "limit";
  if (error instanceof Nondeterminism) return "nondeterminism";
  if (inCheck) return "check";
  if (error instanceof UsageError) return "usage";
  return error instanceof KernelBug ? "bug" : "exception";
}
