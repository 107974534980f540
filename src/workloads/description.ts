/**
 * What a workload says about itself, and how the values that a user gives it are checked.
 *
 * A workload is one file of this folder: a kernel module that also exports `describe`.  A module of one's own may export
 * one too; then its options are checked and completed in the same way.
 */

import { UsageError } from "../memory/bug.ts";

/** Values that a program is given. */
type Values = Readonly<Record<string, string | number | boolean>>;

export type OptionDescription =
  | {
      readonly type: "integer" | "number";
      readonly default: number;
      readonly min: number;
      readonly max: number;
      readonly help: string;
    }
  | { readonly type: "boolean"; readonly default: boolean; readonly help: string }
  | {
      readonly type: "choice";
      readonly default: string;
      readonly choices: readonly string[];
      readonly help: string;
    }
  | { readonly type: "text"; readonly default: string; readonly help: string };

export interface WorkloadDescription {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Names of the timed phases, in the order in which a round passes them. */
  readonly phases: readonly string[];
  /** What one operation is, for each phase that the summary leaves open. */
  readonly operation: string;
  readonly options: Readonly<Record<string, OptionDescription>>;
  /** CPUs below which it makes no sense.  Default 1. */
  readonly minCpus?: number;
  /** Rounds of random work whose point is the check afterwards, not the speed. */
  readonly stress?: boolean;
  /** How `smpsim explore` runs it; without this it does not. */
  readonly explore?: ExploredWorkload;
  /** Options that `smpsim stress` sets when the user does not: checks that would disturb a measurement. */
  readonly stressDefaults?: Values;
}

/** A workload made so small that many interleavings of it can be tried. */
export interface ExploredWorkload {
  /** Of each CPU. */
  readonly operations: number;
  /** Beside `stressDefaults`. */
  readonly options?: Values;
  /** Default 2. */
  readonly cpus?: number;
  /** Defects in the real code that it may be asked to find. */
  readonly mutants?: readonly string[];
}

/** A figure that a program returns beside its phases, in `value.metrics`. */
export interface Metric {
  readonly value: number;
  readonly unit: string;
}

/** The part of a CPU's `value` that reports understand. */
export interface MetricsValue {
  readonly metrics: Readonly<Record<string, Metric>>;
}

/** `given` checked against the description and completed with its defaults.  Throws UsageError. */
export function resolveOptions(description: WorkloadDescription, given: Values): Values {
  const { name, options } = description;
  const complete: Record<string, string | number | boolean> = {};
  for (const [key, option] of Object.entries(options)) complete[key] = option.default;
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(options, key)) throw new UsageError(unknownOption(name, key, options));
    complete[key] = parseOption(`${name}: option ${key}`, options[key], value);
  }
  return complete;
}

/** The values that an option may have, as a person reads them. */
export function validRange(option: OptionDescription): string {
  switch (option.type) {
    case "integer":
      return `whole numbers from ${option.min} to ${option.max}`;
    case "number":
      return `numbers from ${option.min} to ${option.max}`;
    case "boolean":
      return "true and false";
    case "choice":
      return option.choices.join(", ");
    case "text":
      return "any text";
  }
}

function unknownOption(name: string, key: string, options: WorkloadDescription["options"]): string {
  const valid = Object.entries(options).map(
    ([known, option]) => `${known} (${validRange(option)}; default ${option.default})`,
  );
  const list = valid.length === 0 ? "it has none" : `valid are ${valid.join("; ")}`;
  return `${name}: there is no option "${key}"; ${list}`;
}

function parseOption(
  where: string,
  option: OptionDescription,
  value: string | number | boolean,
): string | number | boolean {
  switch (option.type) {
    case "integer":
    case "number": {
      const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
      const whole = option.type === "number" || Number.isInteger(number);
      if (typeof number === "number" && whole && number >= option.min && number <= option.max) return number;
      break;
    }
    case "boolean":
      if (value === true || value === "true") return true;
      if (value === false || value === "false") return false;
      break;
    case "choice":
      if (option.choices.includes(String(value))) return String(value);
      break;
    case "text":
      return String(value);
  }
  throw new UsageError(`${where}: ${JSON.stringify(value)} is not valid; valid are ${validRange(option)}`);
}
