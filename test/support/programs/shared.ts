/** What `setup` returns reaches every `run` and `check`. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

export const setup = (): { word: number } => ({ word: 42 });

export const run = (_kernel: Kernel, _options: ProgramOptions, shared: unknown): unknown => shared;

export function check(_k: Kernel, _o: ProgramOptions, values: readonly unknown[], shared: unknown): void {
  const seen = JSON.stringify([...values, shared]);
  throw new Error(`saw ${seen}`);
}
