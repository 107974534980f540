/** How reports speak of the two clocks, so that nobody takes a simulated figure for one of this computer's. */

import { bytes, plural } from "./format.ts";
import type { Experiment, Row, Simulation, VariantResult } from "./report-model.ts";

type Measured = Pick<VariantResult, "mode" | "simulation">;

/** Headings of figures by the clock that they are by. */
export interface ClockWords {
  readonly rate: string;
  readonly cost: string;
  readonly waiting: string;
}

const HOST: ClockWords = { rate: "ops/s", cost: "ns/op", waiting: "share of CPU time waiting" };
const SIMULATED: ClockWords = {
  rate: "ops/sim. s",
  cost: "sim. ns/op",
  waiting: "share of sim. CPU time waiting",
};

export const wordsOf = ({ mode }: Pick<Measured, "mode">): ClockWords =>
  mode === "virtual" ? SIMULATED : HOST;

/** Whether some figures are by the host's clock and others are simulated: only ratios can be compared then. */
export const isMixed = ({ variants }: Pick<Experiment, "variants">): boolean =>
  new Set(variants.map(({ mode }) => mode)).size > 1;

/** "xeon-gold-5320 at 2.2 GHz" */
export const machineName = ({ profile, clockGHz }: Simulation): string => `${profile} at ${clockGHz} GHz`;

/** A row of a larger machine than the real one that the profile describes. */
export const isExtrapolated = ({ simulation }: Measured, row: Pick<Row, "cpus">): boolean =>
  simulation !== null && row.cpus > simulation.maxCpus;

/** How long each run was, by whose clock, and what that cost the host: a line below the tables. */
export function conditionsOf(experiment: Experiment): string[] {
  const { variants, operations, seed, usage } = experiment;
  const lengths = variants.map(({ mode, seconds, repeats }) => {
    const unit = mode === "virtual" ? "simulated s" : "s";
    const length =
      seconds === null ? `${plural(operations ?? 0, "operation")} a CPU` : `${seconds} ${unit} a run`;
    return mode === "virtual" && repeats === 1
      ? length
      : `${length}, median of ${plural(repeats, "run")} ± median deviation`;
  });
  const simulations = variants.flatMap(({ simulation }) =>
    simulation === null ? [] : [machineName(simulation)],
  );
  const modes = [
    ...new Set(variants.map(({ mode }) => (mode === "virtual" ? "simulated time" : `${mode} mode`))),
  ];
  const rows = variants.flatMap((variant) => variant.rows);
  const [first] = rows;
  return [
    modes.join(" and "),
    ...new Set(simulations.map((name) => `simulated machine ${name}`)),
    ...(first === undefined ? [] : [plural(first.hostCores, "host core")]),
    rows.length > 0 && rows.every((row) => row.pinned) ? "threads pinned" : "threads not pinned",
    ...new Set(lengths),
    `seed ${seed}`,
    `took ${usage.seconds.toFixed(1)} s and up to ${bytes(Math.round(usage.peakMemoryBytes / MIB) * MIB)} of the host`,
  ];
}

const MIB = 2 ** 20;

/** Sentences on how to read simulated figures; none where all are by the host's clock. */
export function simulationNotes(experiment: Experiment): string[] {
  const simulated = experiment.variants.filter(({ simulation }) => simulation !== null);
  const machines = new Map(
    simulated.map(({ simulation }) => [simulation?.profile, simulation as Simulation]),
  );
  const notes = [...machines.values()].map(
    (simulation) =>
      `Simulated time (sim.): cycles of ${machineName(simulation)} (${simulation.description}). The figures are of that ` +
      "machine and the same on every host; read how the curve bends and what a change buys, not this computer's speed",
  );
  for (const variant of simulated) {
    const beyond = variant.rows.find((row) => isExtrapolated(variant, row));
    if (beyond === undefined || variant.simulation === null) continue;
    const { maxCpus, profile } = variant.simulation;
    notes.push(
      `${EXTRAPOLATED} larger than the real machine: ${profile} has ${plural(maxCpus, "CPU")}; with more, its nodes are ` +
        "simulated with more CPUs than any that was measured",
    );
  }
  if (isMixed(experiment))
    notes.push(
      "Two clocks: what the host's says ends at its cores; compare speed-ups, not operations a second or ns",
    );
  return [...new Set(notes)];
}

/** Marks rows of a larger machine than the profile's. */
export const EXTRAPOLATED = "+";
