/**
 * What tasks run: the named exports of a module, in three forms.
 *
 *   plain function   runs to its end on the CPU where it began; while it waits, others run on top of it
 *   generator        may be switched out at each `yield`; goes on on the CPU where it began
 *   step program     an object with `step(user, registers)`: all that it knows from one step to the next is in its registers,
 *                    so any CPU may run the next one
 *
 * A task names its program by place among the sorted names, which are the same on all CPUs.
 */

import { bug, UsageError } from "../../memory/bug.ts";
import { ProgramForm } from "./task-state.ts";

/** What `step` says: go on, or end with an exit status. */
export type StepResult = "again" | number | undefined;

export interface StepProgram<User> {
  step(user: User, registers: number[]): StepResult;
}

export interface ProgramEntry {
  readonly name: string;
  readonly form: number;
  readonly start: (user: unknown, ...values: number[]) => unknown;
  readonly step: ((user: unknown, registers: number[]) => unknown) | null;
}

const never = (): never => bug("a step program is not called");

export class Programs {
  private entries: readonly ProgramEntry[] = [];

  /** The programs of this run from here on.  What is no program among `exported` is left out. */
  use(exported: Readonly<Record<string, unknown>>): void {
    const names = Object.keys(exported).sort();
    this.entries = names.flatMap((name) => entryOf(name, exported[name]) ?? []);
  }

  get names(): readonly string[] {
    return this.entries.map((entry) => entry.name);
  }

  /** Place of a program, or -1. */
  placeOf(name: string): number {
    return this.entries.findIndex((entry) => entry.name === name);
  }

  at(place: number): ProgramEntry {
    return this.entries[place] ?? bug(`there is no program ${place}; ${this.names.length} are known here`);
  }
}

function entryOf(name: string, value: unknown): ProgramEntry | null {
  if (typeof value === "function") {
    const kind = value.constructor.name;
    if (kind === "AsyncFunction" || kind === "AsyncGeneratorFunction")
      throw new UsageError(
        `program ${name}: an async function cannot run on a CPU; valid are function, function*, step`,
      );
    const form = kind === "GeneratorFunction" ? ProgramForm.GENERATOR : ProgramForm.PLAIN;
    return { name, form, start: value as ProgramEntry["start"], step: null };
  }
  const step = (value as { step?: unknown } | null)?.step;
  if (typeof step !== "function") return null;
  return { name, form: ProgramForm.STEP, start: never, step: step.bind(value) as ProgramEntry["step"] };
}
