/** `smpsim run`: a user program on a machine, and what became of its processes. */

import type { Command } from "commander";
import { Machine } from "../machine/machine.ts";
import type { RunResult } from "../machine/program.ts";
import type { TasksValue } from "../machine/user-program.ts";
import { UsageError } from "../memory/bug.ts";
import type { EndedTask, PrintedLine } from "../process/tasks/task-scheduler.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson, say } from "./output.ts";
import { grid } from "./tables.ts";
import { decimal, parseCpuCount } from "./values.ts";

interface RunFlags extends MachineFlags {
  readonly cpus?: number;
  readonly seconds?: number;
  readonly checks?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
A user program is a file that exports main(user) and the programs that it forks or starts as threads, by name; user has
memory and system calls: see examples/fork-and-copy.ts and examples/threads.ts.

Examples:
  smpsim run examples/fork-and-copy.ts --cpus 2
  smpsim run examples/threads.ts 4 1000 --cpus 4         integers for main
  smpsim run examples/threads.ts 4 1000 --cpus 4 --mode virtual

Exit code: 0 fine, 1 main was ended by a signal, or a fault was found (a deadlock, a broken invariant, an exception of the
program), 2 wrong usage.`;

const SIGNALS: Readonly<Record<number, string>> = { 7: "SIGBUS", 9: "SIGKILL", 11: "SIGSEGV" };

/** The bits of a wait status that name the signal.  Linux: WTERMSIG. */
const SIGNAL_MASK = 0x7f;

/** What all CPUs together have to say. */
interface Account {
  readonly lines: readonly PrintedLine[];
  readonly ends: readonly EndedTask[];
  readonly switches: number;
  readonly log: readonly string[];
}

export function addRun(program: Command): void {
  const command = program
    .command("run <file> [integers...]")
    .description("run a user program: processes, threads, memory")
    .option("--cpus <n>", "CPUs, 1 to 256 (default: the host's cores)", parseCpuCount)
    .option("--seconds <n>", "after this time user.more() says no, 0.01 to 3600", (t) =>
      decimal("--seconds", t, 0.01, 3600),
    )
    .option("--checks", "costly assertions while it runs")
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(run);
}

async function run(file: string, integers: readonly string[], flags: RunFlags): Promise<void> {
  if (!/[/\\]|\.(ts|js|mjs)$/.test(file))
    throw new UsageError(
      `run: "${file}" is no file; valid is the path of a .ts or .js file that exports main`,
    );
  const choice = await chooseMachine(flags, file);
  const config = {
    ...choice.machine,
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.checks === undefined ? {} : { checks: flags.checks }),
  };
  if (flags.printConfig) return printJson(completeConfig(config));
  const interruption = watchInterrupts();
  const machine = await Machine.boot(config);
  const options = { ...choice.options, ...(integers.length === 0 ? {} : { args: integers.join(",") }) };
  const seconds = flags.seconds === undefined ? {} : { seconds: flags.seconds };
  const result = await machine.run(file, { options, ...seconds, signal: interruption.signal });
  if (result.fault?.kind === "usage") throw new UsageError(result.fault.message);
  const fault = result.fault ?? (await machine.check()).fault;
  await machine.halt();
  if (result.fault === null && result.cpuResults.some(({ value }) => !isOfTasks(value)))
    throw new UsageError(
      `run: ${file} is a kernel module: it exports run, not main; smpsim bench measures it`,
    );
  const account = accountOf(result);
  if (flags.json) printJson({ ...account, result });
  else show(account, result);
  if (fault !== null) say(`\n${fault.kind}: ${fault.message}\n${fault.report}\n${fault.stack}`);
  process.exitCode = interruption.exitCode(fault === null && !isKilled(account) ? 0 : 1);
}

const isOfTasks = (value: unknown): boolean => (value as { ends?: unknown } | null)?.ends !== undefined;

function accountOf({ cpuResults }: RunResult): Account {
  const values = cpuResults.map(({ value }) => value as Partial<TasksValue> | null);
  const lines = values.flatMap((value) => value?.lines ?? []);
  return {
    lines: lines.toSorted((a, b) => a.timeNs - b.timeNs),
    ends: values.flatMap((value) => value?.ends ?? []).toSorted((a, b) => a.pid - b.pid),
    switches: values.reduce((sum, value) => sum + (value?.switches ?? 0), 0),
    log: cpuResults.flatMap(({ log }) => log),
  };
}

function show({ lines, ends, switches, log }: Account, { interrupts, mode, fault }: RunResult): void {
  for (const { text } of lines) print(text);
  for (const line of log) say(line);
  if (fault !== null || ends.length === 0) return;
  const rows = ends.map((end) => [
    end.pid === end.tgid ? `${end.pid}` : `${end.tgid}/${end.pid}`,
    end.name,
    endOf(end.status),
    `${end.minFlt}`,
    `${end.switchesVoluntary} + ${end.switchesInvoluntary}`,
    `${(end.runtimeNs / 1000).toFixed(1)} µs`,
  ]);
  const columns = ["pid", "program", "end", "page faults", "switches", "ran"];
  print(`\n${grid(columns, rows, 3)}`);
  const calls = interrupts.CAL ?? 0;
  const time = mode === "virtual" ? "simulated time" : "time of this computer's clock";
  print(
    `${switches} context switches; interrupts between CPUs: ${interrupts.RES ?? 0} to reschedule, ${calls} calls; ${time}`,
  );
}

/** Whether a signal has ended the first process. */
const isKilled = ({ ends }: Account): boolean => ends.length > 0 && (ends[0].status & SIGNAL_MASK) !== 0;

const endOf = (status: number): string =>
  (status & SIGNAL_MASK) === 0
    ? `exit ${status >> 8}`
    : (SIGNALS[status & SIGNAL_MASK] ?? `signal ${status & SIGNAL_MASK}`);
