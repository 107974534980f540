/** `smpsim walk`: a translation of a virtual address, step by step. */

import type { Command } from "commander";
import { stopsOf } from "../experiment/tour/tour.ts";
import { PageFault } from "../hardware/page-table-entry.ts";
import { Machine } from "../machine/machine.ts";
import { UsageError } from "../memory/bug.ts";
import { formatAddress } from "../mm/vmap/vmalloc-space.ts";
import type { WalkAnswer } from "../procfs/walk/walk-answer.ts";
import { walkText } from "../procfs/walk/walk-text.ts";
import { watchInterrupts } from "./interrupt.ts";
import { addMachineFlags, chooseMachine, completeConfig, type MachineFlags } from "./machine-flags.ts";
import { print, printJson } from "./output.ts";
import { runFirst } from "./run-first.ts";
import { bold, dim, grid } from "./tables.ts";
import { decimal, integer, parseCpuCount } from "./values.ts";

interface WalkFlags extends MachineFlags {
  readonly cpus?: number;
  readonly pid?: number;
  readonly access: string;
  readonly by: string;
  readonly touch?: boolean;
  readonly after?: string;
  readonly seconds: number;
  readonly json?: boolean;
}

const ACCESS: Readonly<Record<string, number>> = { read: 0, write: PageFault.WRITE, exec: PageFault.INSTR };
const WHO: Readonly<Record<string, number>> = { program: PageFault.USER, kernel: 0 };
const MAX_PID = 2 ** 31 - 1;

const EXAMPLES = `
An address is cut into an index for each level of page tables and an offset in the page.  The walk begins at the table that
the register CR3 names; each entry names the next table, and the last one the page.  An entry that is not present, or lacks a
right, ends the walk with a page fault, and the kernel decides what comes of it.

Without --after an example is looked at: a program with text, heap, shared memory and stack, and its child.

Examples:
  smpsim walk                                     places of the example that are worth a look
  smpsim walk 0x411000                            a page of its heap, which the child shares
  smpsim walk 0x411000 --access write --touch     a write there: the fault, copy on write, the walk and the TLB after it
  smpsim walk 0x418000 --touch                    demand paging: nothing is there until somebody reads
  smpsim walk 0xffff888000001000 --by kernel      a kernel address: the direct map, in pages of 2 MiB
  smpsim walk 0x400008 --access exec --page-levels 5    the same with five levels of tables
  smpsim walk 0x411000 --json                     as one JSON document

smpsim layout shows which addresses mean what; smpsim proc 2/maps a process's mappings.`;

export function addWalk(program: Command): void {
  const command = program
    .command("walk [address]")
    .description("translate a virtual address step by step, through the page tables of a process")
    .option("--pid <n>", "whose address space (default: the first process)", (t) =>
      integer("--pid", t, 1, MAX_PID),
    )
    .option("--access <kind>", "read, write or exec", "read")
    .option("--by <who>", "who asks: program or kernel", "program")
    .option("--touch", "make the access, too: its page faults, the walk afterwards, what the TLB has learned")
    .option("--cpus <n>", "CPUs, 1 to 256 (default 1)", parseCpuCount)
    .option("--after <workload>", "run this workload first, instead of the example")
    .option("--seconds <n>", "how long it runs, 0.01 to 3600", (t) => decimal("--seconds", t, 0.01, 3600), 1)
    .option("--json", "print one JSON document");
  addMachineFlags(command).addHelpText("after", EXAMPLES).action(run);
}

async function run(text: string | undefined, flags: WalkFlags): Promise<void> {
  const address = text === undefined ? null : parseAddress(text);
  const access = chosen("--access", flags.access, ACCESS) | chosen("--by", flags.by, WHO);
  const { machine: own, options } = await chooseMachine(flags, flags.after ?? null);
  const config = { cpus: 1, ...own, ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }) };
  if (flags.printConfig) return printJson(completeConfig(config));
  const interruption = watchInterrupts();
  const machine = await Machine.boot(config);
  const first = { after: flags.after, seconds: flags.seconds, options };
  const result = await runFirst(machine, first, interruption);
  if (result === null) {
    process.exitCode = interruption.exitCode(1);
    return;
  }
  if (address === null) listStops(result.cpuResults[0].value, flags);
  else {
    const request = { pid: flags.pid ?? null, access, touches: flags.touch ?? false };
    const answer = await machine.walk(address, request);
    if (flags.json) printJson(documentOf(answer));
    else print(walkText(answer));
  }
  await machine.halt();
  process.exitCode = interruption.exitCode(0);
}

/** Places of the example; other programs do not name any. */
function listStops(value: unknown, { after, json }: WalkFlags): void {
  if (after !== undefined)
    throw new UsageError("walk: which address? `smpsim proc PID/maps --after ...` shows the mappings");
  const stops = stopsOf(value);
  if (json) return printJson(stops.map((stop) => ({ ...stop, address: `0x${formatAddress(stop.address)}` })));
  const rows = stops.map(({ pid, address, access, what }) => [
    bold(`smpsim walk 0x${formatAddress(address)} --pid ${pid} --access ${access}`),
    what,
  ]);
  print(grid(["command", "what it shows"], rows, 2));
  print(dim("\n--touch makes the access, too, and shows what it has changed"));
}

/** Addresses and entries as text: numbers of JSON hold 53 bits. */
function documentOf(answer: WalkAnswer): unknown {
  const entry = (high: number, low: number): string => `0x${word(high)}${word(low)}`;
  const plain = ({ address, steps, ...rest }: WalkAnswer["walk"]): unknown => ({
    address: `0x${formatAddress(address)}`,
    ...rest,
    steps: steps.map(({ low, high, ...step }) => ({ ...step, entry: entry(high, low) })),
  });
  const { walk, touched, ...rest } = answer;
  return {
    ...rest,
    walk: plain(walk),
    touched: touched === null ? null : { ...touched, walk: plain(touched.walk) },
  };
}

const word = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");

function chosen(flag: string, name: string, table: Readonly<Record<string, number>>): number {
  if (Object.hasOwn(table, name)) return table[name];
  throw new UsageError(`${flag}: "${name}" is not valid; valid are ${Object.keys(table).join(", ")}`);
}

/** A 64-bit address, decimal or with 0x; the upper half is negative, as the kernel's addresses are here. */
function parseAddress(text: string): number {
  const isNumber = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text.trim());
  const value = isNumber ? BigInt(text.trim()) : -1n;
  if (value >= 0n && value < 1n << 64n) return Number(BigInt.asIntN(64, value));
  throw new UsageError(`walk: "${text}" is not valid; valid are addresses from 0 to 0xffffffffffffffff`);
}
