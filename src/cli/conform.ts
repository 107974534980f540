/** `smpsim conform`: replays what a real kernel answered, and prints the first difference. */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Command } from "commander";
import { type ConformResult, conform } from "../experiment/conform/conform.ts";
import { UsageError } from "../memory/bug.ts";
import { print, printJson } from "./output.ts";
import { bold, green, red } from "./tables.ts";

const EXAMPLES = `
Traces have one JSON document a line, format vmfuzz-1, or are scenarios in plain text; those that ship are in
test/oracle/vmfuzz and test/oracle/vmtrace.

Examples:
  smpsim conform test/oracle/vmfuzz/anon-1.jsonl     a line a trace, and where it parts
  smpsim conform test/oracle/vmfuzz/*.jsonl --json   the same as one JSON document
  smpsim conform test/oracle/vmtrace/*.txt           scenarios in plain text: each step's counters and flags, too

Exit code: 0 when all records are equal, 1 when one differs or an operation is not known, 2 wrong usage.`;

export function addConform(program: Command): void {
  program
    .command("conform")
    .description("replay traces of a real kernel's address-space operations, up to the first difference")
    .argument("<file...>", "traces")
    .option("--json", "print one JSON document")
    .addHelpText("after", EXAMPLES)
    .action(run);
}

async function run(files: readonly string[], flags: { readonly json?: boolean }): Promise<void> {
  const results: ConformResult[] = [];
  for (const file of files) {
    const result = await conform(basename(file), readTrace(file));
    results.push(result);
    if (!flags.json) print(line(result));
  }
  const equal = results.filter(isEqual).length;
  if (flags.json) printJson({ equal, traces: results });
  else print(`${equal} of ${results.length} traces are equal throughout`);
  process.exitCode = equal === results.length ? 0 : 1;
}

function readTrace(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    throw new UsageError(`conform: the file ${file} cannot be read`);
  }
}

const isEqual = ({ difference, skipped }: ConformResult): boolean => difference === null && skipped === null;

function line(result: ConformResult): string {
  const { name, records, equal, difference, skipped } = result;
  if (isEqual(result)) return `${green("ok  ")}  ${name}: ${records} records`;
  if (skipped !== null)
    return `${bold("skip")}  ${name}: ${equal} records equal; then ${skipped}, which is not known here`;
  const { i, op, field, expected, got } = difference!;
  return `${red("DIFF")}  ${name}: record ${i} (${op}), ${field}: the kernel ${expected}, here ${got}`;
}
