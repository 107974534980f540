/**
 * Stress: rounds of random work on one machine, and after each the invariants of every subsystem, at rest.
 *
 * One machine for all rounds, so that what one leaves behind is the next one's start: leaks and drifting counters add up
 * until a check sees them.  In simulated time a round is as long by the simulated clock as it is asked to be, whatever
 * the host does meanwhile: round k of a seed is the same each time.
 */

import type { MachineConfig } from "../machine/config.ts";
import { Machine } from "../machine/machine.ts";
import type { Fault, ProgramOptions } from "../machine/program.ts";
import { describeProgram, resolveProgram } from "../machine/resolve-program.ts";
import { UsageError } from "../memory/bug.ts";
import type { Leak } from "../mm/leaks/leaks.ts";
import { type Clock, clockOf, runSeconds } from "./clock.ts";

export interface StressPlan {
  readonly workload: string;
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  /** In all, by the host's clock. */
  readonly seconds: number;
  /** By the machine's clock; default 0.5, in simulated time 0.001. */
  readonly roundSeconds?: number;
  /** After each round, look for objects that nothing refers to.  Default false. */
  readonly leaks?: boolean;
  readonly signal: AbortSignal;
  readonly onRound?: (round: StressRound) => void;
}

export interface StressRound {
  readonly number: number;
  readonly operations: number;
  readonly elapsedSeconds: number;
}

export interface StressResult {
  readonly rounds: number;
  readonly operations: number;
  readonly elapsedSeconds: number;
  readonly interrupted: boolean;
  /** What the check after the last round tested, a line each. */
  readonly checked: readonly string[];
  readonly fault: Fault | null;
}

const ROUND_SECONDS: Readonly<Record<Clock, number>> = { parallel: 0.5, virtual: 0.001 };

/** What has leaked, as a fault; null when nothing has. */
function leakFault(leaks: readonly Leak[]): Fault | null {
  if (leaks.length === 0) return null;
  const [{ cache, sizeBytes }] = leaks;
  const first = cache === "" ? `a block of ${sizeBytes} bytes` : `one of cache ${cache}`;
  const message = `${leaks.length} objects have leaked: nothing refers to them; the first is ${first}`;
  return { kind: "check", cpu: -1, message, report: leaks.map(({ text }) => text).join(""), stack: "" };
}

export async function stress(plan: StressPlan): Promise<StressResult> {
  const clock = clockOf(plan.machine);
  const roundSeconds = plan.roundSeconds ?? ROUND_SECONDS[clock];
  runSeconds(clock, roundSeconds);
  const description = await describeProgram(resolveProgram(plan.workload));
  const options = { ...description?.stressDefaults, ...plan.options };
  const machine = await Machine.boot(plan.machine);
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  let [rounds, operations] = [0, 0];
  let fault: Fault | null = null;
  let checked: readonly string[] = [];
  while (fault === null && elapsed() < plan.seconds && !plan.signal.aborted) {
    const result = await machine.run(plan.workload, {
      options,
      seconds:
        clock === "virtual" ? roundSeconds : Math.min(roundSeconds, Math.max(0.01, plan.seconds - elapsed())),
      signal: plan.signal,
    });
    rounds++;
    const phases = result.cpuResults.flatMap((cpu) => cpu.phases);
    operations += phases.reduce((sum, phase) => sum + phase.operations, 0);
    fault = result.fault;
    if (fault?.kind === "usage") throw new UsageError(fault.message);
    if (fault === null) {
      const check = await machine.check();
      checked = check.report?.passed ?? [];
      fault = check.fault;
    }
    if (fault === null && plan.leaks === true) {
      fault = leakFault(await machine.leaks());
      checked = [...checked, "leaks"];
    }
    plan.onRound?.({ number: rounds, operations, elapsedSeconds: elapsed() });
  }
  await machine.halt();
  return { rounds, operations, elapsedSeconds: elapsed(), interrupted: plan.signal.aborted, checked, fault };
}
