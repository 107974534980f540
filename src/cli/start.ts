/**
 * `smpsim start`: the standard sweep, what `npm start` runs.
 *
 * Questions that show at once what the simulator is for, such as what per-CPU page lists buy and which lock bears
 * contention.  One of them is asked by both clocks: this computer's, up to its cores, and a simulated one beyond.
 */

import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { simulationOf } from "../experiment/clock.ts";
import { planSweep, type SweepWish } from "../experiment/plan.ts";
import type { Experiment } from "../experiment/report-model.ts";
import { descriptionOf } from "../experiment/settings.ts";
import { hasFault, measure } from "./bench.ts";
import { watchInterrupts } from "./interrupt.ts";
import { say } from "./output.ts";
import { type Delivery, deliver, newReport } from "./report-output.ts";
import { decimal, defaultCpuList, integer, parseCpuList, parseSeed } from "./values.ts";

interface StartFlags extends Delivery {
  readonly cpus?: readonly number[];
  readonly seconds: number;
  readonly repeats: number;
  readonly seed: number;
}

interface Question {
  readonly title: string;
  readonly workload: string;
  readonly compare: string;
  /** By both clocks: the simulated machine goes on where this computer ends. */
  readonly isSimulatedToo?: boolean;
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

const QUESTIONS: readonly Question[] = [
  {
    title: "Scaling: pages allocated in bulk, by this computer's clock and simulated beyond its cores",
    workload: "page-bulk",
    compare: "mode=parallel,virtual",
    isSimulatedToo: true,
  },
  {
    title: "Page allocation: what per-CPU page lists buy",
    workload: "page-repeat",
    compare: "pageLists=6.12,off",
  },
  {
    title: "Bulk allocation: every CPU allocates, then frees",
    workload: "page-bulk",
    compare: "pageLists=6.12,off",
  },
  {
    title: "Locks: which one bears contention (0.5 µs held, 2.3 µs outside)",
    workload: "lock",
    compare: "lock=tas,ticket,queued,pv",
  },
  {
    title: "Counters: one a CPU, neighbours in a cache line, one for all, Linux's batched",
    workload: "percpu-counter",
    compare: "form=this-cpu,array,atomic,percpu",
  },
];

const DEFAULT_SECONDS = 0.2;

export function addStart(program: Command): void {
  program
    .command("start")
    .description(
      "the standard sweep: scaling by two clocks, page allocation, locks, counters; writes reports/smpsim.html",
    )
    .option(
      "--cpus <list>",
      "numbers of CPUs (default: up to the host's cores, and twice as many; simulated up to the profile's)",
      parseCpuList,
    )
    .option(
      "--seconds <n>",
      "length of a run by the host's clock, 0.05 to 60",
      (t) => decimal("--seconds", t, 0.05, 60),
      DEFAULT_SECONDS,
    )
    .option("--repeats <n>", "runs a row, 1 to 100", (t) => integer("--repeats", t, 1, 100), 3)
    .option("--seed <n>", "seed of every random choice, 0 to 4294967295", parseSeed, 1)
    .option("--out <file>", "the page with plots", "reports/smpsim.html")
    .option("--json", "print one JSON document instead of tables")
    .option("--csv", "print the single runs as CSV instead of tables")
    .addHelpText(
      "after",
      "\nExamples:\n  npm start\n  smpsim start --seconds 1 --cpus 1-8 --out reports/long.html",
    )
    .action(start);
}

async function start(flags: StartFlags): Promise<void> {
  const cpus = flags.cpus ?? [...defaultCpuList(), Math.min(256, availableParallelism() * 2)];
  const interruption = watchInterrupts();
  const plans = await Promise.all(
    QUESTIONS.map(async (question) => ({ question, plan: planSweep(await wishFor(question, cpus, flags)) })),
  );
  const experiments: Experiment[] = [];
  for (const [i, { question, plan }] of plans.entries()) {
    if (interruption.signal.aborted) break;
    say(`[${i + 1}/${plans.length}] ${question.title}`);
    experiments.push(await measure(plan, question.title, interruption));
  }
  await deliver(newReport("smpsim: the standard sweep", experiments), flags);
  process.exitCode = interruption.exitCode(experiments.some(hasFault) ? 1 : 0);
}

async function wishFor(question: Question, own: readonly number[], flags: StartFlags): Promise<SweepWish> {
  const real = question.isSimulatedToo ? simulationOf({ mode: "virtual" }) : null;
  const cpus = real === null || flags.cpus !== undefined ? own : [...own, ...defaultCpuList(real.maxCpus)];
  return {
    workload: question.workload,
    description: await descriptionOf(question.workload),
    cpus,
    repeats: flags.repeats,
    machine: { seed: flags.seed },
    options: question.options ?? {},
    compare: question.compare,
    seconds: flags.seconds,
  };
}
