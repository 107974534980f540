/** `smpsim doctor`: what this computer can do, tried and not guessed, and what follows when it cannot. */

import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { availableParallelism, cpus, freemem, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { bytes, plural } from "../experiment/format.ts";
import { hasAtomicsPause, largestSharedBuffer } from "../machine/host-limits.ts";
import { Machine } from "../machine/machine.ts";
import { MAX_RAM_BYTES } from "../memory/units.ts";
import { print, printJson } from "./output.ts";
import { bold, dim, green, red } from "./tables.ts";

interface Finding {
  readonly name: string;
  /** "limit": works, with a consequence; "broken": smpsim cannot do its work. */
  readonly state: "fine" | "limit" | "broken";
  readonly found: string;
  /** What follows, when it is not fine. */
  readonly advice: string;
}

const EXAMPLES = `
Examples:
  smpsim doctor           a line a check, then a real machine of 2 CPUs is booted and tested
  smpsim doctor --json    the same as one JSON document

Exit code: 0 when smpsim works here, 1 when it does not.`;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("try what this computer can do: cores, pinning, memory, compiler, and a real 2-CPU machine")
    .option("--json", "print one JSON document")
    .addHelpText("after", EXAMPLES)
    .action(doctor);
}

async function doctor(flags: { readonly json?: boolean }): Promise<void> {
  const findings = [
    node(),
    cores(),
    pinning(),
    sharedMemory(),
    freeMemory(),
    compileCache(),
    compiler(),
    await machine(),
  ];
  if (flags.json) printJson({ findings, works: findings.every((f) => f.state !== "broken") });
  else print(findings.map(line).join("\n"));
  process.exitCode = findings.some((f) => f.state === "broken") ? 1 : 0;
}

function line({ name, state, found, advice }: Finding): string {
  const mark = { fine: green("ok  "), limit: bold("note"), broken: red("BAD ") }[state];
  return `${mark}  ${name.padEnd(16)} ${found}${advice === "" ? "" : `\n${" ".repeat(23)}${dim(advice)}`}`;
}

const finding = (name: string, found: string, state: Finding["state"] = "fine", advice = ""): Finding => ({
  name,
  state,
  found,
  advice: state === "fine" ? "" : advice,
});

function node(): Finding {
  const found = `${process.versions.node} (V8 ${process.versions.v8}), ${process.platform} ${process.arch}`;
  return finding(
    "Node",
    found,
    hasAtomicsPause() ? "fine" : "broken",
    "Atomics.pause is missing: Node 24 or newer is needed",
  );
}

function cores(): Finding {
  const count = availableParallelism();
  const found = `${plural(count, "core")} usable of ${cpus().length}: ${cpus()[0]?.model.trim() ?? "unknown"}`;
  const advice = "scaling by the wall clock needs two; races can be found with one";
  return finding("cores", found, count > 1 ? "fine" : "limit", advice);
}

function pinning(): Finding {
  const tried = spawnSync("taskset", ["-pc", String(process.pid)], { encoding: "utf8" });
  const works = tried.status === 0;
  const found = works ? "taskset can bind each CPU's thread to a core" : "no taskset";
  const advice = "threads are not bound to cores: figures vary more (Linux: package util-linux)";
  return finding("pinning", found, works ? "fine" : "limit", advice);
}

function sharedMemory(): Finding {
  const largest = largestSharedBuffer();
  if (largest === 0) {
    return finding("shared memory", "no 256 MiB in one piece", "broken", "raise this process's memory limit");
  }
  const advice = `machines may have up to ${bytes(largest)} of RAM here, of the ${bytes(MAX_RAM_BYTES)} that smpsim knows`;
  return finding(
    "shared memory",
    `${bytes(largest)} in one buffer`,
    largest === MAX_RAM_BYTES ? "fine" : "limit",
    advice,
  );
}

function freeMemory(): Finding {
  const free = freemem();
  const found = `${bytes(free)} free of ${bytes(totalmem())}`;
  const advice = "a CPU's thread takes about 12 MiB beside the simulated RAM: keep machines small";
  return finding("memory", found, free > 2 ** 30 ? "fine" : "limit", advice);
}

function compileCache(): Finding {
  const folder = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "smpsim-compile-cache");
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return finding("compile cache", folder);
  } catch (error) {
    const advice = "machines boot slower; set NODE_COMPILE_CACHE to a folder that can be written";
    return finding("compile cache", (error as Error).message, "limit", advice);
  }
}

function compiler(): Finding {
  const tried = spawnSync("gcc", ["--version"], { encoding: "utf8" });
  if (tried.status === 0) return finding("gcc", tried.stdout.split("\n")[0]);
  return finding("gcc", "none", "limit", "the C twins of the benchmarks are left out; nothing else needs it");
}

/** Boots two CPUs, has them fight for a lock, and checks what came out. */
async function machine(): Promise<Finding> {
  const startedAt = performance.now();
  try {
    const booted = await Machine.boot({ cpus: 2, memory: "64MiB", checks: true });
    const bootMs = performance.now() - startedAt;
    const result = await booted.run("page-stress", { seconds: 0.3 });
    const report = result.fault === null ? await booted.check() : null;
    await booted.halt();
    const fault = result.fault ?? report?.fault ?? null;
    if (fault !== null) return finding("2-CPU machine", fault.message, "broken", "please report this");
    const operations = result.cpuResults
      .flatMap((cpu) => cpu.phases)
      .reduce((sum, p) => sum + p.operations, 0);
    return finding(
      "2-CPU machine",
      `booted in ${bootMs.toFixed(0)} ms; ${operations} operations, all invariants hold`,
    );
  } catch (error) {
    return finding("2-CPU machine", (error as Error).message, "broken", "please report this");
  }
}
