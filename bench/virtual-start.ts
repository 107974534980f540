/**
 * Question: how long does a simulated machine of 64, of 256 CPUs take to start, and how much memory does it use?
 * Method: a fresh process for each sample times `Machine.boot` of 1 GiB in simulated time; warm: with the compile cache that
 *   an earlier process filled; cold: with an empty one.  Beside the wall clock the CPU time of the whole process is told,
 *   which other work on the host disturbs less.  Memory is the process's resident set at the end of the boot, and what it
 *   has grown to after a first short run on all CPUs.
 * Does not show: parallel mode, which starts the same threads, and the simulated caches of profiles with larger ones.
 */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bench, type Figure, least } from "./measure.ts";

const LARGE = 256;
const ROUNDS = 2;
const MACHINE_URL = new URL("../src/machine/machine.ts", import.meta.url).href;

interface Start {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly mibBooted: number;
  readonly mibRun: number;
}

const program = (cpus: number): string => `
  const { Machine } = await import(${JSON.stringify(MACHINE_URL)});
  const mib = () => process.memoryUsage.rss() / 2 ** 20;
  const start = performance.now();
  const machine = await Machine.boot({ cpus: ${cpus}, memory: "1GiB", mode: "virtual" });
  const seconds = (performance.now() - start) / 1000;
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const mibBooted = mib();
  const { fault } = await machine.run("page-repeat", { operations: 100 });
  if (fault !== null) throw new Error(fault.message);
  console.log(JSON.stringify({ seconds, cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, mibBooted, mibRun: mib() }));
  process.exit();
`;

async function start(cpus: number, cache: string): Promise<Start> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", program(cpus)],
    {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { ...process.env, NODE_COMPILE_CACHE: cache },
    },
  );
  return JSON.parse(stdout);
}

async function startCold(cpus: number): Promise<Start> {
  const cache = mkdtempSync(join(tmpdir(), "smpsim-bench-cache-"));
  try {
    return await start(cpus, cache);
  } finally {
    rmSync(cache, { recursive: true });
  }
}

function figuresOf(cpus: number, warm: readonly Start[]): Figure[] {
  const name = (what: string): string => `${cpus} CPUs, ${what}`;
  const perCpu = (of: (start: Start) => number): number[] => warm.map((sample) => of(sample) / cpus);
  const wall = least(
    name("warm"),
    "s",
    warm.map(({ seconds }) => seconds),
  );
  return [
    cpus === LARGE ? { ...wall, atMost: 15 } : wall,
    least(
      name("warm, CPU time"),
      "s",
      warm.map(({ cpuSeconds }) => cpuSeconds),
    ),
    least(
      name("memory a CPU, booted"),
      "MiB",
      perCpu(({ mibBooted }) => mibBooted),
    ),
    least(
      name("memory a CPU, after a run"),
      "MiB",
      perCpu(({ mibRun }) => mibRun),
    ),
  ];
}

await bench("virtual-start", "How long does a simulated machine of many CPUs take to start?", async () => {
  const cache = mkdtempSync(join(tmpdir(), "smpsim-bench-cache-"));
  const figures: Figure[] = [];
  await start(2, cache);
  for (const cpus of [64, LARGE]) {
    const warm: Start[] = [];
    for (let round = 0; round < ROUNDS; round++) warm.push(await start(cpus, cache));
    figures.push(...figuresOf(cpus, warm));
  }
  figures.push({ name: "64 CPUs, cold", value: (await startCold(64)).seconds, unit: "s" });
  rmSync(cache, { recursive: true });
  return { figures };
});
