/** `smpsim stress`: rounds of random work with all invariants checked after each. */

import type { Command } from "commander";
import { count, plural } from "../experiment/format.ts";
import { type StressResult, stress } from "../experiment/stress.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson, say } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { commandLine } from "./report-output.ts";
import { decimal, parseCpuCount } from "./values.ts";

interface StressFlags extends MachineFlags {
  readonly cpus?: number;
  readonly seconds: number;
  readonly roundSeconds?: number;
  readonly leaks?: boolean;
  readonly checks?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  smpsim stress page-stress --cpus 4 --seconds 30
  smpsim stress page-stress --cpus 8 --tokens free --seed 7    the host may preempt a CPU anywhere
  smpsim stress page-stress --cpus 64 --mode virtual           simulated CPUs in simulated time: round k repeats exactly
  smpsim stress percpu-churn --leaks                           objects that nothing refers to are a fault
  smpsim stress lock-stress --checks --set lock=./my-lock.ts   a lock of your own, with costly assertions

A failure prints the seed and the command that repeats it.  Real races need not come back at the first try: repeat with
--seconds longer, or search the schedules with smpsim explore, where a failure replays exactly.`;

export function addStress(program: Command): void {
  const command = program
    .command("stress <workload>")
    .description("rounds of random work, every subsystem's invariants checked after each")
    .option("--cpus <n>", "CPUs, 1 to 256 (default: the host's cores)", parseCpuCount)
    .option(
      "--seconds <n>",
      "length in all by the host's clock, 0.1 to 86400",
      (t) => decimal("--seconds", t, 0.1, 86400),
      10,
    )
    .option(
      "--round-seconds <n>",
      "length of a round, 0.01 to 3600 (default 0.5); with --mode virtual in simulated seconds, 0.00001 to 10 " +
        "(default 0.001)",
      (t) => decimal("--round-seconds", t, 0, 3600),
    )
    .option("--checks", "costly assertions while it runs, too")
    .option("--leaks", "look for leaked objects after each round")
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(run);
}

async function run(workload: string, flags: StressFlags): Promise<void> {
  const choice = await chooseMachine(flags, workload);
  const machine = {
    ...choice.machine,
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.checks === undefined ? {} : { checks: flags.checks }),
  };
  const full = completeConfig(machine);
  if (flags.printConfig) return printJson(full);
  const interruption = watchInterrupts();
  const progress = new ProgressLine();
  say(`stress ${workload}: ${plural(full.cpus ?? 1, "CPU")}, seed ${full.seed}, ${flags.seconds} s`);
  const result = await stress({
    workload,
    machine,
    options: choice.options,
    seconds: flags.seconds,
    leaks: flags.leaks ?? false,
    ...(flags.roundSeconds === undefined ? {} : { roundSeconds: flags.roundSeconds }),
    signal: interruption.signal,
    onRound: ({ number, operations, elapsedSeconds }) => {
      if (!process.stderr.isTTY) return;
      const done = Math.min(flags.seconds, Math.round(elapsedSeconds));
      progress.show(`round ${number}, ${count(operations)} operations`, done, Math.ceil(flags.seconds));
    },
  });
  progress.clear();
  if (flags.json)
    printJson({ workload, machine: full, options: choice.options, command: commandLine(), ...result });
  else print(summary(workload, result));
  if (result.fault !== null) sayFault(result, full.seed ?? 1);
  process.exitCode = interruption.exitCode(result.fault === null ? 0 : 1);
}

function summary(workload: string, result: StressResult): string {
  const { rounds, operations, elapsedSeconds, fault, checked, interrupted } = result;
  return [
    `${workload}: ${plural(rounds, "round")}, ${count(operations)} operations in ${elapsedSeconds.toFixed(1)} s` +
      `${interrupted ? ", stopped before its end" : ""}: ${fault === null ? "no fault" : "FAULT"}`,
    ...(checked.length > 0 ? [`checked after each round: ${checked.join(", ")}`] : []),
  ].join("\n");
}

function sayFault({ fault, rounds }: StressResult, seed: number): void {
  if (fault === null) return;
  const where = fault.cpu >= 0 ? ` on cpu ${fault.cpu}` : "";
  say(`\nround ${rounds}: ${fault.kind}${where}: ${fault.message}`);
  for (const part of [fault.report, fault.stack]) if (part !== "") say(part);
  const command = commandLine();
  say(`\nseed ${seed}; repeat it with: ${command}${command.includes("--seed") ? "" : ` --seed ${seed}`}`);
}
