/** Does the runs of a sweep on real machines. */

import { Machine } from "../machine/machine.ts";
import type { RunResult } from "../machine/program.ts";
import { UsageError } from "../memory/bug.ts";
import type { RingContents } from "../memory/trace.ts";
import type { RunRequest } from "./sweep.ts";

/** Boots a machine, runs the request on it, checks it when asked, and halts it. */
export async function runOnMachine(request: RunRequest): Promise<RunResult> {
  return (await runAndSee(request, () => null)).result;
}

export interface TracedRun {
  readonly result: RunResult;
  readonly traces: readonly RingContents[];
}

/** The same, with what the trace rings hold at the end. */
export async function runAndKeepTrace(request: RunRequest): Promise<TracedRun> {
  const { result, seen } = await runAndSee(request, (machine) => machine.traces());
  return { result, traces: seen };
}

/** The same, with a digest of what the run left in RAM; "" after a fault. */
export async function runAndDigest(request: RunRequest): Promise<{ result: RunResult; digest: string }> {
  const { result, seen } = await runAndSee(request, (machine) => machine.digest());
  return { result, digest: result.fault === null ? seen : "" };
}

/** Boots, runs, lets `see` look at the machine before it is checked, and halts. */
async function runAndSee<T>(
  request: RunRequest,
  see: (machine: Machine) => T,
): Promise<{ result: RunResult; seen: T }> {
  const machine = await Machine.boot(request.machine);
  const { seconds, operations, signal, options } = request;
  const ran = await machine.run(request.workload, {
    options,
    ...(seconds === undefined ? {} : { seconds }),
    ...(operations === undefined ? {} : { operations }),
    ...(signal === undefined ? {} : { signal }),
  });
  const seen = see(machine);
  const fault = ran.fault === null && request.check ? (await machine.check()).fault : ran.fault;
  if (fault?.kind === "usage") throw new UsageError(fault.message);
  await machine.halt();
  return { result: { ...ran, fault }, seen };
}
