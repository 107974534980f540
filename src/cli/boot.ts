/** `smpsim boot`: boots a machine and shows its log. */

import type { Command } from "commander";
import { bytes, plural } from "../experiment/format.ts";
import { Machine } from "../machine/machine.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson, say } from "./output.ts";
import { parseCpuCount } from "./values.ts";

interface BootFlags extends MachineFlags {
  readonly cpus?: number;
  readonly check?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  smpsim boot                                    as many CPUs as the host has cores, 256 MiB
  smpsim boot --cpus 8 --nodes 2 --memory 2GiB   two NUMA nodes
  smpsim boot --preset numa4 --check             and test every subsystem's invariants at rest
  smpsim boot --cpus 4 --print-config > machine.json`;

export function addBoot(program: Command): void {
  const command = program
    .command("boot")
    .description("boot a machine and print its log, as dmesg would")
    .option("--cpus <n>", "CPUs, 1 to 256 (default: the host's cores)", parseCpuCount)
    .option("--check", "test the invariants of every subsystem after it")
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(boot);
}

async function boot(flags: BootFlags): Promise<void> {
  const choice = await chooseMachine(flags, null);
  const config = { ...choice.machine, ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }) };
  const full = completeConfig(config);
  if (flags.printConfig) return printJson(full);
  const startedAt = performance.now();
  const machine = await Machine.boot(config);
  const bootMs = performance.now() - startedAt;
  const check = flags.check ? await machine.check() : null;
  const log = machine.bootLog;
  if (check?.fault === null || check === null) await machine.halt();
  if (flags.json) printJson({ config: full, bootMs, log, check });
  else {
    print(log.join("\n"));
    const { cpus, memoryBytes } = machine.config;
    say(`\nbooted ${plural(cpus, "CPU")} with ${bytes(memoryBytes)} in ${bootMs.toFixed(0)} ms`);
    if (check?.report) say(`checked: ${check.report.passed.join(", ")}`);
  }
  if (check?.fault) {
    say(`fault: ${check.fault.message}\n${check.fault.report}`);
    process.exitCode = 1;
  }
}
