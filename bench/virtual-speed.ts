/**
 * Question: how fast does simulated time go?
 * Method: fixed numbers of operations, all threads pinned to one host core; CPU time of the process for a run, which other
 *   work on the host disturbs less than a clock, and which is the clock's where one CPU runs at a time; the least of the
 *   rounds.  What is compared runs in turn.  Hand-over: every CPU's step takes as long as the others', so
 *   each step passes the turn on.  Plain: the same workload in parallel mode on one CPU.  Sweep: the command line, from
 *   its start to its end.
 * Does not show: start-up (virtual-start), and profiles with other costs, under which CPUs change places more often.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Machine } from "../src/machine/machine.ts";
import { destroyIdlePools } from "../src/machine/pool.ts";
import { bench, type Figure, interleave, least } from "./measure.ts";

const ROUNDS = 5;
const HAND_OVER = fileURLToPath(new URL("programs/hand-over.ts", import.meta.url));
const CLI = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const HAND_OVERS = 60_000;
const PAIRS = 300_000;
const BLOCKS_MEMORY = "2GiB";
const SWEEP = "bench page-bulk --mode virtual --cpus 1-26 --operations 1 --json".split(" ");

const notes = new Set<string>();

/** Nanoseconds of the host's CPU time for an operation, `operations` in all on the CPUs together, from a machine that runs on. */
async function nsPerOperation(machine: Machine, program: string, operations: number): Promise<number> {
  const { cpus, shape } = machine.config;
  const before = process.cpuUsage();
  const result = await machine.run(program, { operations: Math.ceil(operations / cpus) });
  const { user, system } = process.cpuUsage(before);
  if (result.fault !== null) throw new Error(`${program}: ${result.fault.message}`);
  if (shape.mode === "virtual" && !result.pinned) notes.add("threads were not pinned");
  const done = result.cpuResults.flatMap(({ phases }) => phases);
  return ((user + system) * 1000) / done.reduce((sum, phase) => sum + phase.operations, 0);
}

const bootVirtual = (cpus: number, memory: string): Promise<Machine> =>
  Machine.boot({ cpus, memory, mode: "virtual" });

async function haltAll(...machines: Machine[]): Promise<void> {
  for (const machine of machines) await machine.halt();
  await destroyIdlePools();
}

async function handOvers(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const cpus of [2, 8, 26, 64]) {
    const machine = await bootVirtual(cpus, "64MiB");
    await nsPerOperation(machine, HAND_OVER, HAND_OVERS / 4);
    const [samples] = await interleave(ROUNDS, [() => nsPerOperation(machine, HAND_OVER, HAND_OVERS)]);
    figures.push(
      least(
        `hand-over, ${cpus} CPUs`,
        "us",
        samples.map((ns) => ns / 1000),
      ),
    );
    await haltAll(machine);
  }
  return figures;
}

async function againstPlain(): Promise<Figure[]> {
  const [simulated, plain] = [
    await bootVirtual(1, "64MiB"),
    await Machine.boot({ cpus: 1, memory: "64MiB" }),
  ];
  const pairs = (machine: Machine) => () => nsPerOperation(machine, "page-repeat", PAIRS);
  const ofPlain = (): Promise<number> => nsPerOperation(plain, "page-repeat", 10 * PAIRS);
  const [ours, theirs] = await interleave(ROUNDS + 1, [pairs(simulated), ofPlain]);
  await haltAll(simulated, plain);
  const ratio = Math.min(...ours) / Math.min(...theirs);
  return [
    least("pair, simulated, 1 CPU", "ns", ours),
    least("pair, parallel mode, 1 CPU", "ns", theirs),
    { name: "simulated against parallel", value: ratio, unit: "x", atMost: 12 },
  ];
}

async function manyAgainstOne(program: string, memory: string, operations: number): Promise<Figure> {
  const [one, many] = [await bootVirtual(1, memory), await bootVirtual(64, memory)];
  const rate = (machine: Machine) => () => nsPerOperation(machine, program, operations);
  const [single, together] = await interleave(ROUNDS, [rate(one), rate(many)]);
  await haltAll(one, many);
  const part = (100 * Math.min(...single)) / Math.min(...together);
  return { name: `${program}: rate of 64 CPUs, of one CPU's`, value: part, unit: "%", atLeast: 15 };
}

async function sweep(): Promise<Figure> {
  const start = performance.now();
  await promisify(execFile)(process.execPath, [CLI, ...SWEEP], { maxBuffer: 1 << 26 });
  return {
    name: "sweep of page-bulk, 1 to 26 CPUs",
    value: (performance.now() - start) / 1000,
    unit: "s",
    atMost: 60,
  };
}

await bench("virtual-speed", "How fast does simulated time go?", async () => {
  const figures = [
    ...(await againstPlain()),
    await manyAgainstOne("page-repeat", "64MiB", 4 * PAIRS),
    await manyAgainstOne("page-bulk", BLOCKS_MEMORY, 1),
    await sweep(),
    ...(await handOvers()),
  ];
  return { figures, notes: [...notes] };
});
process.exit();
