/** Values of the command line, each with its valid range in the message when it is wrong. */

import { availableParallelism } from "node:os";
import { MAX_CPUS } from "../machine/config.ts";
import { UsageError } from "../memory/bug.ts";

const MAX_SEED = 0xffffffff;

/** CPU counts of a sweep: "1,2,4", "1-8", or both, ascending and each once. */
export function parseCpuList(text: string): number[] {
  const counts = text.split(",").flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (range === null) throw badCpus(text);
    const [first, last] = [Number(range[1]), Number(range[2] ?? range[1])];
    if (first < 1 || last > MAX_CPUS || first > last) throw badCpus(text);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return [...new Set(counts)].toSorted((a, b) => a - b);
}

/** 1, 2, 4 … up to `most`, and that: the host's cores when nobody says otherwise. */
export function defaultCpuList(most = Math.min(MAX_CPUS, availableParallelism())): number[] {
  const powers = Array.from({ length: 9 }, (_, i) => 2 ** i).filter((n) => n < most);
  return [...powers, most];
}

export const parseCpuCount = (text: string): number => integer("--cpus", text, 1, MAX_CPUS);
export const parseSeed = (text: string): number => integer("--seed", text, 0, MAX_SEED);

/** A whole number of `flag`. */
export function integer(flag: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${flag}: "${text}" is not valid; valid are whole numbers from ${min} to ${max}`);
}

/** A number of `flag`, fractions allowed. */
export function decimal(flag: string, text: string, min: number, max: number): number {
  const value = /^\d*\.?\d+(e-?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${flag}: "${text}" is not valid; valid are numbers from ${min} to ${max}`);
}

/** Run tokens: a number, "cores" or "free". */
export function parseTokens(text: string): number | "cores" | "free" {
  if (text === "cores" || text === "free") return text;
  if (/^\d+$/.test(text)) return integer("--tokens", text, 1, MAX_CPUS);
  throw new UsageError(`--tokens: "${text}" is not valid; valid are 1 to ${MAX_CPUS}, cores and free`);
}

/** Collects a flag that may be given more than once. */
export const repeated = (text: string, before: readonly string[] = []): string[] => [...before, text];

function badCpus(text: string): UsageError {
  return new UsageError(
    `--cpus: "${text}" is not valid; valid are counts from 1 to ${MAX_CPUS} and ranges, ` +
      "for example 1,2,4 or 1-8",
  );
}
