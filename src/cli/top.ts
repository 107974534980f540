/**
 * `smpsim top slab`: the object caches of a machine while a workload runs on it, as slabtop shows those of a host.
 *
 * The main thread reads RAM and takes no lock of the machine: the workload does not notice, and the figures are hints.
 */

import type { Command } from "commander";
import { plural } from "../experiment/format.ts";
import { Machine } from "../machine/machine.ts";
import { UsageError } from "../memory/bug.ts";
import {
  SLABTOP_SORTS,
  type SlabtopSort,
  slabtopLines,
  slabtopRows,
  slabtopSort,
} from "../procfs/slabtop.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson, say } from "./output.ts";
import { Screen } from "./screen.ts";
import { type Look, pause, type WatchOptions, watchSlabs } from "./top-watch.ts";
import { decimal, integer, parseCpuCount } from "./values.ts";

interface TopFlags extends MachineFlags {
  readonly workload: string;
  readonly cpus?: number;
  readonly delay: number;
  readonly sort: SlabtopSort;
  readonly once?: boolean;
  readonly count?: number;
  readonly seconds?: number;
  readonly rows?: number;
  readonly json?: boolean;
}

const SORT_KEYS = SLABTOP_SORTS.map(({ key }) => key).join(" ");
const DEFAULT_WORKLOAD = "kmalloc-mix";
/** Where nobody can press q. */
const DEFAULT_SECONDS = 5;

const EXAMPLES = `
Examples:
  smpsim top slab                                       a screen that is refreshed; q ends, a letter of --sort sorts
  smpsim top slab --workload slab-remote --cpus 4 --sort growth
  smpsim top slab --workload ./my-module.ts --once      one look, after the first delay
  smpsim top slab --count 3 --delay 0.5 > looks.txt     without a terminal: screens one after the other
  smpsim top slab --once --json

GROWTH is what has come to the active objects since the first look: where it only grows, objects leak.
Sorts: ${SLABTOP_SORTS.map(({ key, name }) => `${key} ${name}`).join(", ")}.`;

export function addTop(program: Command): void {
  const command = program
    .command("top <what>")
    .description("watch a running workload: slab, its object caches as slabtop shows them")
    .option("--workload <name>", "a workload, or a module by its path", DEFAULT_WORKLOAD)
    .option("--cpus <n>", "CPUs, 1 to 256 (default: the host's cores)", parseCpuCount)
    .option(
      "-d, --delay <n>",
      "seconds between looks, 0.05 to 3600",
      (t) => decimal("--delay", t, 0.05, 3600),
      1,
    )
    .option(
      "-s, --sort <name>",
      "a letter or a name, below (default o, objects)",
      slabtopSort,
      slabtopSort("o"),
    )
    .option("--once", "one look, then end")
    .option("--count <n>", "so many looks, then end: 1 to 100000", (t) => integer("--count", t, 1, 100_000))
    .option(
      "--seconds <n>",
      `length of the run, 0.1 to 86400 (default: until q; without a terminal ${DEFAULT_SECONDS})`,
      (t) => decimal("--seconds", t, 0.1, 86_400),
    )
    .option("--rows <n>", "caches shown, 1 to 1000 (default: as many as the screen has room for)", (t) =>
      integer("--rows", t, 1, 1000),
    )
    .option("--json", "print one JSON document with all looks");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(top);
}

async function top(what: string, flags: TopFlags): Promise<void> {
  if (what !== "slab") throw new UsageError(`top: "${what}" is not valid; valid is slab`);
  if (flags.once && flags.count !== undefined)
    throw new UsageError("--once and --count: valid is one of the two");
  const choice = await chooseMachine(flags, flags.workload);
  const config = { ...choice.machine, ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }) };
  const full = completeConfig(config);
  if (flags.printConfig) return printJson(full);
  if (config.slab === "slob")
    throw new UsageError("top slab: SLOB keeps no figures of its caches; valid are slub, slab");
  const interruption = watchInterrupts();
  const machine = await Machine.boot(config);
  const mostLooks = flags.once ? 1 : (flags.count ?? Infinity);
  const screen = flags.json || mostLooks < Infinity ? null : Screen.open();
  const isEndless = screen !== null || mostLooks < Infinity;
  if (screen === null)
    say(`watching ${flags.workload} on ${plural(full.cpus ?? 1, "CPU")} every ${flags.delay} s`);
  const end = new AbortController();
  interruption.signal.addEventListener("abort", () => end.abort());
  const running = machine.run(flags.workload, { options: choice.options, signal: end.signal });
  void running.catch(() => {}).finally(() => end.abort());
  const looks: Look[] = [];
  try {
    await watchSlabs(machine, {
      delaySeconds: flags.delay,
      seconds: flags.seconds ?? (isEndless ? Infinity : DEFAULT_SECONDS),
      mostLooks,
      signal: end.signal,
      wait: screen === null ? pause : (seconds, signal) => screen.key(seconds, signal),
      show: flags.json ? (look) => looks.push(look) : shower(flags, screen),
    });
  } finally {
    screen?.close();
    end.abort();
  }
  const { fault } = await running;
  if (flags.json) printJson({ workload: flags.workload, machine: full, looks, fault });
  if (fault !== null) say(`fault: ${fault.message}\n${fault.report}`);
  else await machine.halt();
  process.exitCode = interruption.exitCode(fault === null ? 0 : 1);
}

/** Screens one after the other, or one that is drawn anew and sorted by the letter that was pressed last. */
function shower(flags: TopFlags, screen: Screen | null): WatchOptions["show"] {
  let { sort } = flags;
  return (look, first, key) => {
    sort = SLABTOP_SORTS.find((other) => other.key === key) ?? sort;
    const rows = slabtopRows(look.caches, first.caches, sort);
    const lines = slabtopLines(rows, flags.rows);
    const title = `${flags.workload}, ${look.seconds.toFixed(1)} s, by ${sort.name}`;
    if (screen === null) print(`${[...lines, ""].join("\n")}\n`);
    else screen.draw([` ${title}  (q ends; ${SORT_KEYS} sort)`, ...lines]);
  };
}
