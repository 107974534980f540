/** `smpsim explore` and `smpsim replay`: many schedules of a small program, and one of them again. */

import type { Command } from "commander";
import { count, plural } from "../experiment/format.ts";
import {
  type ExploreResult,
  type ExploreStrategy,
  explore,
  type ReplayResult,
  replay,
} from "../machine/explore.ts";
import { formatFailure } from "../machine/explore-report.ts";
import { describeScenarios, exploredWorkloads, scenarioNames } from "../machine/resolve-scenario.ts";
import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { MAX_EXPLORE_CPUS } from "../schedule/explore/state.ts";
import { watchInterrupts } from "./interrupt.ts";
import { print, printJson, say } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { bold, dim, grid } from "./tables.ts";
import { integer, parseSeed, repeated } from "./values.ts";

interface ExploreFlags {
  readonly strategy?: string;
  readonly depth?: number;
  readonly runs?: number;
  readonly seed?: number;
  readonly mutant?: readonly string[];
  readonly cpus?: number;
  readonly stepLimit?: number;
  readonly audit?: boolean;
  readonly pin: boolean;
  readonly shrink: boolean;
  readonly json?: boolean;
}

interface ReplayFlags {
  readonly times?: number;
  readonly pin: boolean;
  readonly json?: boolean;
}

const EXPLORE_EXAMPLES = `
Examples:
  smpsim explore                                            the scenarios and their mutants
  smpsim explore lost-update --runs 20000                   must stay clean
  smpsim explore lost-update --mutant lost-update-torn      must be found: prints the steps and a schedule
  smpsim explore map-read-stress --runs 500                 a workload, with few operations on each CPU
  smpsim explore ./mine.ts --strategy pct --depth 4 --seed 7
  smpsim explore lost-update --audit                        each schedule twice: is everything under control?

Exit code: 0 clean, 1 a failure was found, 2 wrong usage, 130 stopped by Ctrl-C.`;

const REPLAY_EXAMPLES = `
Examples:
  smpsim replay smp1:lost-update:2:lost-update-torn:…        once, with the table of steps
  smpsim replay smp1:… --times 100                           on a fresh machine each time

Exit code: 0 it ended well (the failure is gone), 1 it failed, 2 wrong usage.`;

export function addExplore(program: Command): void {
  program
    .command("explore [scenario]")
    .description("run a scenario under many controlled schedules, up to the first failure")
    .option("--strategy <name>", "random, pct, or both in turn (default both)")
    .option("--depth <n>", "PCT: changes of priority an execution plus one, 1 to 10 (default 3)", (t) =>
      integer("--depth", t, 1, 10),
    )
    .option("--runs <n>", "executions, 1 to 2147483647 (default 2000)", (t) =>
      integer("--runs", t, 1, 0x7fffffff),
    )
    .option("--seed <n>", "seed of the schedules, 0 to 4294967295 (default 1)", parseSeed)
    .option("--mutant <name>", "switch on a defect in the real code; repeatable", repeated)
    .option("--cpus <n>", "CPUs (default: what the scenario says)", (t) =>
      integer("--cpus", t, 1, MAX_EXPLORE_CPUS),
    )
    .option("--step-limit <n>", "steps that count as a livelock", (t) =>
      integer("--step-limit", t, 1, 0x7fffffff),
    )
    .option("--audit", "run each schedule twice and compare")
    .option("--no-shrink", "show the failure as found, not with as few switches as possible")
    .option("--no-pin", "leave the threads unpinned")
    .option("--json", "print one JSON document")
    .addHelpText("after", EXPLORE_EXAMPLES)
    .action(runExplore);
}

export function addReplay(program: Command): void {
  program
    .command("replay <schedule>")
    .description("run the one schedule that explore printed again")
    .option("--times <n>", "how often, 1 to 1000000 (default 1)", (t) => integer("--times", t, 1, 1_000_000))
    .option("--no-pin", "leave the threads unpinned")
    .option("--json", "print one JSON document")
    .addHelpText("after", REPLAY_EXAMPLES)
    .action(runReplay);
}

async function runExplore(scenario: string | undefined, flags: ExploreFlags): Promise<void> {
  if (scenario === undefined) return listScenarios(flags.json ?? false);
  await checkScenario(scenario);
  const interruption = watchInterrupts();
  const progress = new ProgressLine();
  const { runs, mutant, strategy, json: _, pin, ...same } = flags;
  let isUnderWay = false;
  const result = await explore(scenario, {
    ...same,
    pin,
    ...(strategy === undefined ? {} : { strategy: strategy as ExploreStrategy }),
    ...(runs === undefined ? {} : { executions: runs }),
    ...(mutant === undefined ? {} : { mutants: mutant }),
    signal: interruption.signal,
    onProgress: ({ executions, wanted, steps }) => {
      if (process.stderr.isTTY) progress.show(`${count(steps)} steps`, executions, wanted);
      else if (!isUnderWay && executions > 0)
        say(`explore ${scenario}: under way, ${count(wanted)} executions at most`);
      isUnderWay ||= executions > 0;
    },
  });
  progress.clear();
  if (flags.json) printJson(result);
  else print(exploreText(result));
  if (result.fault !== null)
    say(`the campaign itself failed: ${result.fault.message}\n${result.fault.report}`);
  process.exitCode = interruption.exitCode(result.failure === null && result.fault === null ? 0 : 1);
}

function exploreText(result: ExploreResult): string {
  const { scenario, executions, executionsWanted, steps, pinning, mutants, reached, strategy, depth } =
    result;
  const seconds = (result.elapsedMs / 1000).toFixed(1);
  const how = strategy === "random" ? "random walk" : `${strategy}, depth ${depth}`;
  const lines = [
    `${bold(scenario)}: ${result.summary}`,
    `${plural(executions, "execution")} of ${executionsWanted}, ${count(steps)} steps in ${seconds} s ` +
      `(${count(result.executionsPerSecond)} executions/s, ${count(result.stepsPerSecond)} steps/s, ` +
      `${result.switchesPerExecution.toFixed(1)} switches an execution)`,
    dim(
      `${how}, seed ${result.seed}, ${plural(result.cpus, "CPU")}, ` +
        `threads ${pinning.pinned ? "pinned" : `not pinned (${pinning.reason})`}` +
        `${mutants.length > 0 ? `, with ${mutants.join(" and ")}` : ""}`,
    ),
    dim(`places of defects that were executed: ${reached.length > 0 ? reached.join(", ") : "none"}`),
  ];
  if (result.interrupted) lines.push("stopped before its end");
  lines.push("");
  if (result.failure !== null) lines.push(formatFailure(result.failure));
  else lines.push(result.audit ? "no failure; every schedule ran the same way twice" : "no failure");
  return lines.join("\n");
}

async function runReplay(schedule: string, flags: ReplayFlags): Promise<void> {
  const result = await replay(schedule, {
    pin: flags.pin,
    ...(flags.times === undefined ? {} : { times: flags.times }),
  });
  if (flags.json) printJson(result);
  else print(replayText(result));
  process.exitCode = result.failure === null && result.fault === null ? 0 : 1;
}

function replayText({ failure, schedule, verdict, elapsedMs }: ReplayResult): string {
  const { scenario, cpus, steps } = schedule;
  return [
    ...(failure === null ? [] : [formatFailure(failure), ""]),
    `${bold(scenario)}, ${plural(cpus, "CPU")}, ${steps} steps recorded: ${bold(verdict)}`,
    dim(`${(elapsedMs / 1000).toFixed(1)} s`),
  ].join("\n");
}

async function checkScenario(name: string): Promise<void> {
  const names = scenarioNames();
  if (names.includes(name) || /[/\\]|\.(ts|js|mjs)$/.test(name)) return;
  const workloads = await exploredWorkloads();
  if (workloads.includes(name)) return;
  throw new UsageError(
    `there is no scenario "${name}"${didYouMean(name, [...names, ...workloads])}; valid are ${names.join(", ")}, ` +
      `the workloads ${workloads.join(", ")}, or a path to a .ts or .js file`,
  );
}

async function listScenarios(json: boolean): Promise<void> {
  const all = await describeScenarios();
  if (json) return printJson(all);
  const rows = all.map(({ name, summary, cpus, mutants }) => [
    bold(name),
    summary,
    String(cpus),
    mutants.join(", "),
  ]);
  print(grid(["scenario", "what must hold", "CPUs", "mutants"], rows, 4));
  print(`\nworkloads that can be explored: ${(await exploredWorkloads()).join(", ")}`);
}
