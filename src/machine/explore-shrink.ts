/**
 * Shrinks a failing schedule: tries scripts with less in them, many in one campaign, and goes on from the first that
 * fails in the same way.
 */

import { packScripts, scriptOf } from "../schedule/explore/scripts.ts";
import { shorterScripts } from "../schedule/explore/shrink.ts";
import { MAX_TAPE_ENTRIES } from "../schedule/explore/state.ts";
import type { CampaignResult } from "./explore-run.ts";
import type { CampaignFailure, CampaignTask } from "./task.ts";

/** Improvements at most, and scripts tried for each. */
const MAX_ROUNDS = 64;
const MAX_TRIALS = 512;
/** Switches in all trials together: they are what trials cost, some 10 to 20 us each. */
const MAX_SWITCHES = 150_000;

export interface Shrunk {
  readonly failure: CampaignFailure;
  /** Scripts that were tried. */
  readonly trials: number;
  /** Switches in them. */
  readonly switches: number;
}

/** Runs a campaign on a fresh machine. */
export type RunCampaign = (task: CampaignTask) => Promise<CampaignResult>;

/** The same failure with as few switches as could be reached; the same as given if there is nothing to gain. */
export async function shrinkFailure(
  failure: CampaignFailure,
  limits: { readonly seed: number; readonly stepLimit: number },
  run: RunCampaign,
): Promise<Shrunk> {
  let best: Shrunk = { failure, trials: 0, switches: 0 };
  for (let round = 0; round < MAX_ROUNDS && best.switches < MAX_SWITCHES; round++) {
    const better = await improve(best, limits, run);
    best = { ...best, trials: better.trials, switches: better.switches };
    if (better.failure.tape.length >= best.failure.tape.length) break;
    best = better;
  }
  return best;
}

async function improve(
  { failure, trials, switches }: Shrunk,
  limits: { readonly seed: number; readonly stepLimit: number },
  run: RunCampaign,
): Promise<Shrunk> {
  const script = scriptOf(failure.tape);
  const room = Math.floor((2 * MAX_TAPE_ENTRIES) / (2 * script.length + 1));
  const affordable = Math.ceil((MAX_SWITCHES - switches) / (script.length + 1));
  let scripts = shorterScripts(script, Math.min(MAX_TRIALS, room, affordable));
  let tried = trials;
  const spent = (): number => switches + (tried - trials) * script.length;
  while (scripts.length > 0) {
    const plan = { ...limits, executions: scripts.length, hashes: false };
    const result = await run({ strategy: "scripts", depth: 1, plan, tape: packScripts(scripts) });
    tried += result.executions;
    const found = result.failure;
    if (found === null || result.fault !== null) break;
    if (isSame(found, failure) && found.tape.length < failure.tape.length)
      return { failure: { ...found, execution: failure.execution }, trials: tried, switches: spent() };
    scripts = scripts.slice(found.execution);
  }
  return { failure, trials: tried, switches: spent() };
}

/** Whether two failures are of one kind and say the same, numbers apart. */
function isSame(a: CampaignFailure, b: CampaignFailure): boolean {
  return a.fault.kind === b.fault.kind && shape(a.fault.message) === shape(b.fault.message);
}

const shape = (message: string): string => message.replaceAll(/\b(0x)?[0-9a-f]*\d[0-9a-f]*\b/g, "#");
