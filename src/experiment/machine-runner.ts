/** Does the runs of a sweep on real machines. */

import { Machine } from "../machine/machine.ts";
import type { RunResult } from "../machine/program.ts";
import { UsageError } from "../memory/bug.ts";
import type { RingContents } from "../memory/trace.ts";
import type { RunRequest } from "./sweep.ts";

/** Boots a machine, runs the request on it, checks it when asked, and halts it. */
export async function runOnMachine(request: RunRequest): Promise<RunResult> {
  return (await runAndKeepTrace(request)).result;
}

export interface TracedRun {
  readonly result: RunResult;
  readonly traces: readonly RingContents[];
}

/** The same, with what the trace rings hold at the end. */
export async function runAndKeepTrace(request: RunRequest): Promise<TracedRun> {
  const machine = await Machine.boot(request.machine);
  const { seconds, operations, signal, options } = request;
  const ran = await machine.run(request.workload, {
    options,
    ...(seconds === undefined ? {} : { seconds }),
    ...(operations === undefined ? {} : { operations }),
    ...(signal === undefined ? {} : { signal }),
  });
  const fault = ran.fault === null && request.check ? (await machine.check()).fault : ran.fault;
  if (fault?.kind === "usage") throw new UsageError(fault.message);
  const traces = machine.traces();
  await machine.halt();
  return { result: { ...ran, fault }, traces };
}
