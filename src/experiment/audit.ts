/**
 * The audit of simulated time: every run is done twice, each time on a machine of its own, and all that may not depend on
 * the host is compared: clocks, statistics, and the bytes of RAM and of the CPUs' states.
 */

import type { RunResult } from "../machine/program.ts";
import { runAndDigest } from "./machine-runner.ts";
import type { AuditResult } from "./report-model.ts";
import type { Runner, RunRequest } from "./sweep.ts";

/** Differences that are told of one run; more say nothing new. */
const TOLD = 8;

export class Audit {
  private runs = 0;
  private readonly differences: string[] = [];

  /** Does the run twice; its result is the first one's.  A run that failed or was cut short has nothing to compare. */
  readonly run: Runner = async (request) => {
    const first = await runAndDigest(request);
    if (first.result.fault !== null || first.result.interrupted) return first.result;
    const second = await runAndDigest(request);
    if (second.result.interrupted) return first.result;
    this.runs++;
    const found = differencesOf(factsOf(first), factsOf(second));
    this.differences.push(...found.map((difference) => `${nameOf(request)}: ${difference}`));
    return second.result.fault === null ? first.result : second.result;
  };

  get result(): AuditResult {
    return { runs: this.runs, differences: this.differences };
  }
}

/** What two runs of one seed must have in common, by name. */
export function factsOf({ result, digest }: { result: RunResult; digest: string }): Map<string, unknown> {
  const facts = new Map<string, unknown>();
  for (const { cpu, phases, elapsedNs, value, log, parks, slices } of result.cpuResults) {
    const own = { "clock, ns": elapsedNs, phases, value, log, parks, slices };
    for (const [name, fact] of Object.entries(own)) facts.set(`CPU ${cpu}: ${name}`, fact);
  }
  for (const { name, ...lock } of result.locks) facts.set(`lock ${name}`, lock);
  facts.set("interrupts", result.interrupts);
  facts.set("RAM and CPU states", digest);
  return facts;
}

/** A line for each fact that is not the same, the first ones. */
export function differencesOf(
  first: ReadonlyMap<string, unknown>,
  second: ReadonlyMap<string, unknown>,
): string[] {
  const names = [...new Set([...first.keys(), ...second.keys()])];
  const differing = names.filter((name) => textOf(first.get(name)) !== textOf(second.get(name)));
  const told = differing
    .slice(0, TOLD)
    .map((name) => `${name}: ${textOf(first.get(name))}, the second time ${textOf(second.get(name))}`);
  const more = differing.length - told.length;
  return more > 0 ? [...told, `and ${more} more`] : told;
}

const textOf = (fact: unknown): string => JSON.stringify(fact) ?? "nothing";

const nameOf = ({ machine, options, workload }: RunRequest): string =>
  `${workload}, ${machine.cpus} CPUs, seed ${machine.seed}, ${JSON.stringify({ ...machine, ...options, cpus: undefined, seed: undefined })}`;
