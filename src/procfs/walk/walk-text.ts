/** A walk for people: the address cut into indexes, a line a level, where it leads, and what a fault would mean. */

import { describeFault, PageFault } from "../../hardware/page-table-entry.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { formatAddress } from "../../mm/vmap/vmalloc-space.ts";
import type { Walk, WalkStep } from "./walk.ts";
import type { FrameNote, WalkAnswer } from "./walk-answer.ts";

const { WRITE, USER, INSTR } = PageFault;
const FLAG_HELP =
  "P present  RW writable  US user  A accessed  D dirty  PS large page  G global  NX no execute";

export function walkText(answer: WalkAnswer): string {
  const { walk, touched } = answer;
  const lines = [
    `Address 0x${formatAddress(walk.address)}, ${accessText(walk.access)}`,
    answer.pid === null ? "in the kernel's own tables" : `in the address space of process ${answer.pid}`,
    ...(answer.area === null ? [] : [`in mapping ${answer.area}`]),
    "",
    ...walkLines(walk, answer.frame),
    ...(answer.action === null ? [] : [`  the kernel: ${answer.action}`]),
  ];
  if (touched !== null)
    lines.push(
      "",
      `The access is made: ${touched.outcome}, ${touched.faults} ${touched.faults === 1 ? "page fault" : "page faults"} resolved`,
      "",
      ...walkLines(touched.walk, touched.frame),
      ...touched.tlb.map(({ cpu, pcid, text }) => `  cpu ${cpu} remembers, PCID ${pcid}: ${text}`),
      ...(touched.tlb.length === 0 ? ["  the CPU's TLB knows nothing of it"] : []),
    );
  return `${lines.join("\n")}\n`;
}

/** "a write by a program". */
export function accessText(access: number): string {
  const what =
    (access & INSTR) !== 0 ? "an instruction fetch" : (access & WRITE) !== 0 ? "a write" : "a read";
  return `${what} by ${(access & USER) !== 0 ? "a program" : "the kernel"}`;
}

function walkLines(walk: Walk, frame: FrameNote | null): string[] {
  const { steps, end, fault } = walk;
  return [
    ...(steps.length === 0 ? [] : [indexLine(walk), "", ...table(walk), ""]),
    ...(end === null
      ? []
      : [
          `  physical address 0x${end.physical.toString(16)}: byte ${mod(walk.address, end.pageBytes)} of a page of ${sizeText(end.pageBytes)}`,
          `  rights of all levels together: ${end.rights}`,
        ]),
    ...(frame === null ? [] : [`  ${frameText(frame)}`]),
    fault === null
      ? "  the access is allowed"
      : `  FAULT at ${fault.level}: ${fault.reason}\n  ${describeFault(fault.code)}`,
  ];
}

/** "PGD 255 (bits 47-39) | PUD 511 (38-30) | ...". */
function indexLine({ steps, address, end }: Walk): string {
  const parts = steps.map(
    ({ name, index, bits: [first, last] }) => `${name} ${index} (bits ${first}-${last})`,
  );
  const last = steps.at(-1)?.bits[1] ?? 12;
  const bytes = end?.pageBytes ?? 2 ** last;
  return `  ${[...parts, `offset ${mod(address, bytes)} (bits ${Math.log2(bytes) - 1}-0)`].join(" | ")}`;
}

function table({ root, steps, levels }: Walk): string[] {
  const rows = steps.map((step) => [
    step.name,
    String(step.index),
    `0x${step.table.toString(16)}`,
    `0x${step.entryAt.toString(16)}`,
    `0x${half(step.high)}${half(step.low)}`,
    leadsTo(step),
    step.flags.join(" "),
  ]);
  if (levels === 4)
    rows.splice(1, 0, ["P4D", "-", "", "", "", "folded into the PGD: there are four levels", ""]);
  const head = ["level", "index", "table", "entry at", "entry", "leads to", "flags"];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const print = (row: readonly string[]): string =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i])).join("  ")}`.trimEnd();
  return [
    `  CR3: the top table is frame 0x${root.toString(16)}`,
    print(head),
    ...rows.map(print),
    `  (${FLAG_HELP})`,
  ];
}

function leadsTo({ meaning, next }: WalkStep): string {
  return next === null ? meaning : `${meaning}, frame 0x${next.toString(16)}`;
}

function frameText({ pfn, kind, node, references, mapped, flags }: FrameNote): string {
  const counts = `${references} ${references === 1 ? "reference" : "references"}, mapped ${mapped === 1 ? "once" : `${mapped} times`}`;
  return `frame 0x${pfn.toString(16)}: ${kind}; ${counts}; node ${node}; flags ${flags}`;
}

const half = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
const mod = (address: number, bytes: number): number => address - Math.floor(address / bytes) * bytes;

function sizeText(bytes: number): string {
  return bytes === PAGE_BYTES ? "4 KiB" : bytes === 2 ** 21 ? "2 MiB" : "1 GiB";
}
