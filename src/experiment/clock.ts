/**
 * Which clock a run is measured by, and what follows from it for its length.
 *
 * By the host's clock a run is warmed up, takes a second, and is repeated.  In simulated time two runs of one seed are the
 * same to the last cycle, so one is enough, a warm-up on a machine of its own would warm nothing, and half a millisecond
 * holds thousands of operations.
 */

import type { MachineConfig } from "../machine/config.ts";
import { UsageError } from "../memory/bug.ts";
import { DEFAULT_PROFILE, loadProfile } from "../schedule/virtual/profiles.ts";
import type { Simulation } from "./report-model.ts";

export type Clock = "parallel" | "virtual";

interface Lengths {
  readonly seconds: number;
  readonly minSeconds: number;
  readonly maxSeconds: number;
  readonly repeats: number;
}

/** What a run's length is when nobody says, and what it may be; in the clock's own seconds. */
export const LENGTHS: Readonly<Record<Clock, Lengths>> = {
  parallel: { seconds: 1, minSeconds: 0.01, maxSeconds: 3600, repeats: 3 },
  virtual: { seconds: 0.0005, minSeconds: 0.00001, maxSeconds: 10, repeats: 1 },
};

/** The clock of `machine`.  Explore mode has steps and no clock: a UsageError. */
export function clockOf(machine: MachineConfig): Clock {
  const { mode = "parallel" } = machine;
  if (mode !== "explore") return mode;
  throw new UsageError(
    'mode: "explore" is not valid here; valid are parallel and virtual (smpsim explore searches schedules)',
  );
}

/** The length of a run by `clock`, checked. */
export function runSeconds(clock: Clock, seconds: number | undefined): number {
  const { seconds: usual, minSeconds, maxSeconds } = LENGTHS[clock];
  if (seconds === undefined) return usual;
  if (seconds >= minSeconds && seconds <= maxSeconds) return seconds;
  const unit = clock === "virtual" ? " of simulated time" : "";
  throw new UsageError(`seconds: ${seconds} is not valid; valid are ${minSeconds} to ${maxSeconds}${unit}`);
}

/** What a report says of the simulated machine; null by the host's clock. */
export function simulationOf(machine: MachineConfig): Simulation | null {
  if (clockOf(machine) !== "virtual") return null;
  const { name, description, clockGHz, machine: real } = loadProfile(machine.profile ?? DEFAULT_PROFILE);
  return { profile: name, description, clockGHz, maxCpus: real.maxCpus };
}
