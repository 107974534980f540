/** `smpsim proc`: a report of a booted machine, as Linux prints it. */

import type { Command } from "commander";
import { Machine } from "../machine/machine.ts";
import { UsageError } from "../memory/bug.ts";
import { isOfProcesses, procNames, REPORTS, reportNamed } from "../procfs/reports.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson } from "./output.ts";
import { runFirst } from "./run-first.ts";
import { bold, dim, grid } from "./tables.ts";
import { decimal, parseCpuCount } from "./values.ts";

interface ProcFlags extends MachineFlags {
  readonly cpus?: number;
  readonly after?: string;
  readonly seconds?: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  smpsim proc                                      the reports, a line each
  smpsim proc buddyinfo                            free blocks of a machine that has just booted
  smpsim proc zoneinfo --nodes 2 --memory 1GiB     of a machine of your choice
  smpsim proc lock_stat --after page-bulk --lockstat --cpus 4
  smpsim proc vmstat --after page-stress --seconds 2 --set order=3
  smpsim proc slabinfo --after kmalloc-mix         object caches; sys/kernel/slab/NAME has one in detail
  smpsim proc ps                                   processes: those of an example, unless --after says otherwise
  smpsim proc 2/maps                               process 2 of the example; 2/smaps, 2/status, 2/pagemap and others
  smpsim proc core-latency --cpus 4 --set batches=31

What each report means, and where it differs from Linux: docs/REPORTS.md.`;

export function addProc(program: Command): void {
  const command = program
    .command("proc [name]")
    .description("print a report of /proc, or list the reports")
    .option("--cpus <n>", "CPUs, 1 to 256 (default: the host's cores)", parseCpuCount)
    .option("--after <workload>", "run this workload first, on the same machine")
    .option("--seconds <n>", "how long it runs, 0.01 to 3600 (default 1)", (t) =>
      decimal("--seconds", t, 0.01, 3600),
    )
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(proc);
}

async function proc(name: string | undefined, flags: ProcFlags): Promise<void> {
  if (flags.seconds !== undefined && flags.after === undefined)
    throw new UsageError("--seconds: it needs --after WORKLOAD");
  const report = name === undefined ? null : reportNamed(name);
  const measures = report !== null && "workload" in report ? report.workload : null;
  if (measures !== null && flags.after !== undefined)
    throw new UsageError(`--after: report ${name} measures by a run of its own, and takes no other`);
  const choice = await chooseMachine(flags, flags.after ?? measures);
  const config = { ...choice.machine, ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }) };
  const full = completeConfig(config);
  if (flags.printConfig) return printJson(full);
  if (name === undefined) return listReports(flags.json ?? false);
  const interruption = watchInterrupts();
  const machine = await Machine.boot(config);
  const { after, seconds = 1 } = flags;
  // Of processes there is something to see when one has been made.
  if (after !== undefined || isOfProcesses(name)) {
    const first = { after, seconds, options: choice.options };
    if ((await runFirst(machine, first, interruption)) === null) {
      process.exitCode = interruption.exitCode(1);
      return;
    }
  }
  const text = await machine.proc(name, measures === null ? {} : choice.options);
  await machine.halt();
  if (flags.json) printJson({ report: name, config: full, after: flags.after ?? null, text });
  else print(text);
  process.exitCode = interruption.exitCode(0);
}

function listReports(json: boolean): void {
  if (json) return printJson(procNames().map((name) => ({ name, summary: REPORTS[name].summary })));
  const rows = Object.entries(REPORTS).map(([name, { summary }]) => [bold(name), summary]);
  print(grid(["report", "what it shows"], rows, 2));
  print(dim("\nsmpsim proc NAME prints it; smpsim proc NAME --after WORKLOAD runs the workload first"));
}
