/**
 * From a thrown error to a fault: plain data that crosses threads with all its fields.
 */

import { KernelBug, UsageError } from "../memory/bug.ts";
import { Deadlock, StepLimit } from "../schedule/explore/turn.ts";
import type { CpuThread } from "./attach.ts";
import { hangReport } from "./hang-report.ts";
import type { Fault } from "./program.ts";

/** An error as plain data, with the report of who holds and waits for what at this moment. */
export function faultOf(error: unknown, thread: CpuThread | undefined): Fault {
  const kind = kindOf(error);
  const text = error instanceof Error ? error.message : String(error);
  return {
    kind,
    cpu: thread?.kernel.cpu.id ?? -1,
    message: kind === "exception" && error instanceof Error ? `${error.name}: ${text}` : text,
    stack: error instanceof Error ? (error.stack ?? "") : "",
    report: thread === undefined ? "" : hangReport(thread.machine, thread.control),
  };
}

function kindOf(error: unknown): Fault["kind"] {
  if (error instanceof UsageError) return "usage";
  if (error instanceof Deadlock) return "deadlock";
  if (error instanceof StepLimit) return "limit";
  return error instanceof KernelBug ? "bug" : "exception";
}
