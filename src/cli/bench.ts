/** `smpsim bench`: one workload over CPU counts. */

import type { Command } from "commander";
import { Audit } from "../experiment/audit.ts";
import { type BaselineComparison, compareWithBaseline } from "../experiment/baseline.ts";
import { simulationOf } from "../experiment/clock.ts";
import { plural } from "../experiment/format.ts";
import { lockWarning } from "../experiment/lock-warning.ts";
import { runOnMachine } from "../experiment/machine-runner.ts";
import { experimentOf, planSweep } from "../experiment/plan.ts";
import type { Experiment } from "../experiment/report-model.ts";
import { type SweepPlan, sweep } from "../experiment/sweep.ts";
import { UsageError } from "../memory/bug.ts";
import { watchInterrupts } from "./interrupt.ts";
import {
  addMachineFlags,
  type Choice,
  chooseMachine,
  completeConfig,
  type MachineFlags,
} from "./machine-flags.ts";
import { printJson, say } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { type Delivery, deliver, newReport, readBaseline } from "./report-output.ts";
import { recordTrace, writeTrace } from "./trace-file.ts";
import { decimal, defaultCpuList, integer, parseCpuList } from "./values.ts";

interface BenchFlags extends MachineFlags, Delivery {
  readonly cpus?: readonly number[];
  readonly seconds?: number;
  readonly operations?: number;
  readonly repeats?: number;
  readonly compare?: string;
  readonly check?: boolean;
  readonly audit?: boolean;
  readonly cacheLines?: boolean;
  readonly trace?: string;
  readonly baseline?: string;
  readonly threshold?: number;
  readonly failIfSlower?: boolean;
}

const EXAMPLES = `
Examples:
  smpsim bench page-repeat                          1, 2, 4 … CPUs up to the host's cores, 3 runs of 1 s each
  smpsim bench page-bulk --cpus 1-4 --set order=3   blocks of 8 pages
  smpsim bench page-repeat --compare pageLists=6.12,off --out report.html
  smpsim bench lock --set lock=./my-lock.ts         a lock from a file of your own
  smpsim bench lock --json > old.json               and later: smpsim bench lock --baseline old.json
  smpsim bench page-bulk --mode virtual --cpus 16 --cache-lines   which lines travel between CPUs, and why

In simulated time, on any computer:
  smpsim bench page-bulk --mode virtual             up to the 26 CPUs of the profile's machine, half a simulated ms each
  smpsim bench page-bulk --mode virtual --cpus 1-64 --profile xeon-8375c-2s --out report.html
  smpsim bench page-bulk --mode virtual --compare pcpBatch=1,15,63
  smpsim bench page-bulk --mode virtual --audit     every run twice, compared to the last cycle
  smpsim bench page-bulk --compare mode=parallel,virtual --cpus 1-8

By the host's clock rows with more CPUs than can run at once are marked: their throughput says nothing about scaling.
Exit code: 0 fine, 1 a fault was found, 2 wrong usage, 130 stopped by Ctrl-C (what was measured is printed).`;

export function addBench(program: Command): void {
  const command = program
    .command("bench <workload>")
    .description("measure a workload over numbers of CPUs")
    .option(
      "--cpus <list>",
      "numbers of CPUs, for example 1,2,4 or 1-8 (default: 1, 2, 4 … up to the host's cores, with --mode virtual those of the profile, or to those of --config or --preset)",
      parseCpuList,
    )
    .option(
      "--seconds <n>",
      "length of a run, 0.01 to 3600 (default 1); with --mode virtual in simulated seconds, " +
        "0.00001 to 10 (default 0.0005)",
      (t) => decimal("--seconds", t, 0, 3600),
    )
    .option("--operations <n>", "operations a CPU instead of a time", (t) =>
      integer("--operations", t, 1, 1e12),
    )
    .option(
      "--repeats <n>",
      "runs a row, 1 to 100 (default 3; with --mode virtual 1, since each run repeats bit for bit)",
      (t) => integer("--repeats", t, 1, 100),
    )
    .option("--compare <key=a,b>", "measure two or more values of a setting side by side")
    .option("--check", "test the invariants of every subsystem after each run")
    .option(
      "--audit",
      "with --mode virtual: do each run twice and compare clocks, statistics and RAM; exit code 1 if they differ",
    )
    .option("--json", "print one JSON document")
    .option("--csv", "print the single runs as CSV")
    .option("--out <file>", "write a page with plots")
    .option("--cache-lines", "with --mode virtual: which cache lines travel between CPUs, and why")
    .option("--cache-lines-csv <file>", "the same, each word of each line, as CSV")
    .option("--trace <file>", "one more run, recorded for Perfetto or chrome://tracing; --out draws its end")
    .option("--baseline <file>", "compare with a JSON report of before")
    .option("--threshold <percent>", "differences below it do not count, 0 to 100 (default 5)", (t) =>
      decimal("--threshold", t, 0, 100),
    )
    .option("--fail-if-slower", "exit with 1 when a row is slower than the baseline");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(bench);
}

async function bench(workload: string, flags: BenchFlags): Promise<void> {
  checkFlags(flags);
  const choice = withCacheLines(await chooseMachine(flags, workload), flags);
  if (flags.printConfig) return printJson(completeConfig(choice.machine));
  const fewest = choice.description?.minCpus ?? 1;
  const plan = planSweep({
    ...choice,
    workload,
    cpus:
      flags.cpus ??
      atLeast(fewest, defaultCpuList(choice.machine.cpus ?? simulationOf(choice.machine)?.maxCpus)),
    ...(flags.repeats === undefined ? {} : { repeats: flags.repeats }),
    ...(flags.compare === undefined ? {} : { compare: flags.compare }),
    ...(flags.seconds === undefined ? {} : { seconds: flags.seconds }),
    ...(flags.operations === undefined ? {} : { operations: flags.operations }),
    check: flags.check ?? false,
    audit: flags.audit ?? false,
  });
  const baseline = flags.baseline === undefined ? null : readBaseline(flags.baseline);
  const interruption = watchInterrupts();
  const audit = flags.audit ? new Audit() : null;
  const title = titleOf(workload, flags.compare);
  const experiment = await measure(plan, title, { signal: interruption.signal, audit });
  const report = newReport(`smpsim bench ${workload}`, [experiment]);
  const threshold = flags.threshold === undefined ? {} : { threshold: flags.threshold / 100 };
  const comparison = baseline === null ? null : compareWithBaseline(report, baseline, threshold);
  const isTraced = flags.trace !== undefined && !interruption.signal.aborted && !hasFault(experiment);
  const trace = isTraced ? await recordTrace(plan, interruption.signal) : null;
  await deliver(report, flags, { comparison, trace });
  if (flags.trace !== undefined && trace !== null) writeTrace(trace, flags.trace);
  process.exitCode = interruption.exitCode(exitCodeOf(experiment, comparison, flags.failIfSlower ?? false));
}

/** Runs the plan with progress on stderr. */
export async function measure(
  plan: SweepPlan,
  title: string,
  { signal, audit = null }: { readonly signal: AbortSignal; readonly audit?: Audit | null },
): Promise<Experiment> {
  for (const { machine } of plan.variants) {
    const warning = lockWarning({ ...plan.machine, ...machine }, Math.max(...plan.cpus));
    if (warning !== null) say(warning);
  }
  if (plan.machine.mode === "virtual" && plan.machine.tokens !== undefined)
    say("tokens have no effect in simulated time, where one CPU runs at a time");
  const progress = new ProgressLine();
  const outcome = await sweep(plan, {
    run: audit?.run ?? runOnMachine,
    signal,
    onProgress: ({ cpus, variant, repeat, repeats, done, total }) => {
      const where = `${plan.workload}, ${plural(cpus, "CPU")}`;
      const run = repeat === 0 ? "warm-up" : `run ${repeat} of ${repeats}`;
      progress.show(where, done, total, [variant, run].filter((s) => s !== "").join(", "));
    },
  });
  progress.clear();
  return experimentOf(plan, outcome, title, audit?.result);
}

export const hasFault = (experiment: Experiment): boolean =>
  experiment.variants.some(({ rows }) => rows.some((row) => row.fault !== null));

function exitCodeOf(
  experiment: Experiment,
  comparison: BaselineComparison | null,
  failIfSlower: boolean,
): number {
  if (hasFault(experiment)) return 1;
  const differences = experiment.audit?.differences ?? [];
  if (differences.length > 0) {
    say(`audit: runs were not the same twice:\n  ${differences.join("\n  ")}`);
    return 1;
  }
  const isSlower = comparison?.rows.some((row) => row.verdict === "slower") ?? false;
  if (failIfSlower && isSlower) say("a row is slower than the baseline");
  return failIfSlower && isSlower ? 1 : 0;
}

/** Lines are counted where they are asked for. */
function withCacheLines(choice: Choice, flags: BenchFlags): Choice {
  if (flags.cacheLines !== true && flags.cacheLinesCsv === undefined) return choice;
  return { ...choice, machine: { ...choice.machine, cacheLines: true } };
}

const titleOf = (workload: string, compare: string | undefined): string =>
  compare === undefined
    ? workload
    : `${workload}, ${compare.replace("=", ": ").replaceAll(",", " against ")}`;

const atLeast = (fewest: number, counts: readonly number[]): number[] => {
  const enough = counts.filter((count) => count >= fewest);
  return enough.length > 0 ? enough : [fewest];
};

function checkFlags(flags: BenchFlags): void {
  const both = (a: unknown, b: unknown, names: string): void => {
    if (a !== undefined && b !== undefined) throw new UsageError(`${names}: valid is one of the two`);
  };
  both(flags.json, flags.csv, "--json and --csv");
  both(flags.seconds, flags.operations, "--seconds and --operations");
  const needsBaseline = flags.threshold !== undefined || flags.failIfSlower !== undefined;
  if (needsBaseline && flags.baseline === undefined) {
    throw new UsageError("--threshold and --fail-if-slower need --baseline old.json");
  }
}
