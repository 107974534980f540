/** `smpsim layout`: what lies where in an address space. */

import type { Command } from "commander";
import { arm64Map } from "../experiment/space-map/arm64.ts";
import type { SpaceMap } from "../experiment/space-map/region.ts";
import { regionDocument, spaceMapText } from "../experiment/space-map/space-map-text.ts";
import { splitNames, x86Map32 } from "../experiment/space-map/x86-32.ts";
import { x86Map64 } from "../experiment/space-map/x86-64.ts";
import { Machine } from "../machine/machine.ts";
import { UsageError } from "../memory/bug.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, type MachineFlags } from "./machine-flags.ts";
import { print, printJson } from "./output.ts";
import { runFirst } from "./run-first.ts";
import { dim } from "./tables.ts";
import { decimal, integer } from "./values.ts";

interface LayoutFlags extends MachineFlags {
  readonly levels: number;
  readonly split: string;
  readonly pae?: boolean;
  readonly vaBits: number;
  readonly page: number;
  readonly pid?: number;
  readonly after?: string;
  readonly seconds: number;
  readonly json?: boolean;
}

const EXAMPLES = `
The machines that smpsim runs are x86-64: programs have the lower half, the direct map and vmalloc lie where the table says, and
the other regions of the kernel's half are empty.  The maps of x86-32 and arm64 are computed from those architectures' formulas.

Examples:
  smpsim layout                              x86-64 with four levels of page tables
  smpsim layout --levels 5                   with five
  smpsim layout --pid 2                      the same, and where the parts of a process of the example are
  smpsim layout x86-32 --split 2G            2 GiB for programs, 2 GiB for the kernel; splits: ${splitNames().join(", ")}
  smpsim layout x86-32 --pae                 3 GiB and 1 GiB, tables with 64-bit entries
  smpsim layout arm64 --va-bits 39           two top tables, 512 GiB each
  smpsim layout arm64 --va-bits 52 --page 64 pages of 64 KiB
  smpsim layout --json                       as one JSON document

smpsim walk ADDRESS shows how an address is translated.`;

const KINDS = ["x86-64", "x86-32", "arm64"];

export function addLayout(program: Command): void {
  const command = program
    .command("layout [architecture]")
    .description("the map of an address space: what lies where, for programs and for the kernel")
    .option("--levels <n>", "x86-64: levels of page tables, 4 or 5", (t) => integer("--levels", t, 4, 5), 4)
    .option("--split <name>", "x86-32: what programs have", "3G")
    .option("--pae", "x86-32: physical address extension")
    .option("--va-bits <n>", "arm64: bits of an address", (t) => integer("--va-bits", t, 36, 52), 48)
    .option("--page <KiB>", "arm64: size of a page, 4, 16 or 64", (t) => integer("--page", t, 4, 64), 4)
    .option("--pid <n>", "where the parts of this process are, too; of an example, or with --after", (t) =>
      integer("--pid", t, 1, 2 ** 31 - 1),
    )
    .option("--after <workload>", "run this workload first")
    .option("--seconds <n>", "how long it runs, 0.01 to 3600", (t) => decimal("--seconds", t, 0.01, 3600), 1)
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(run);
}

async function run(kind = "x86-64", flags: LayoutFlags): Promise<void> {
  const map = mapOf(kind, flags);
  if (flags.after !== undefined && flags.pid === undefined) throw new UsageError("--after: it needs --pid");
  if (flags.pid !== undefined && kind !== "x86-64")
    throw new UsageError(`--pid: processes are of x86-64; ${kind} is a computed map alone`);
  const places = flags.pid === undefined ? null : await placesOf(flags.pid, flags);
  if (flags.json)
    return printJson({
      title: map.title,
      regions: map.regions.map((region) => regionDocument(region, map.bits)),
      process: places === null ? null : { pid: flags.pid, text: places },
    });
  print(spaceMapText(map));
  if (places !== null) print(`\nProcess ${flags.pid}\n\n${places}`);
  if (kind !== "x86-64") print(dim("\ncomputed: the machines that smpsim runs are x86-64"));
}

function mapOf(kind: string, { levels, split, pae = false, vaBits, page }: LayoutFlags): SpaceMap {
  if (kind === "x86-64") return x86Map64(levels as 4 | 5);
  if (kind === "x86-32") return x86Map32(split, pae);
  if (kind === "arm64") return arm64Map(vaBits, page);
  throw new UsageError(`layout: "${kind}" is not valid; valid are ${KINDS.join(", ")}`);
}

async function placesOf(pid: number, flags: LayoutFlags): Promise<string> {
  const { machine: own, options } = await chooseMachine(flags, flags.after ?? null);
  const interruption = watchInterrupts();
  const machine = await Machine.boot({ cpus: 1, ...own });
  const first = { after: flags.after, seconds: flags.seconds, options };
  if ((await runFirst(machine, first, interruption)) === null)
    throw new UsageError("--after: the workload has failed");
  const text = await machine.proc(`${pid}/places`);
  await machine.halt();
  return text;
}
