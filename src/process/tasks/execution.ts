/**
 * Carries a task's program out, in its form, until the task ends or must be switched out.
 *
 * Whatever way a program's code is left, the kernel decides here what becomes of the task: a return and `exit` end it, a fault
 * that nobody has caught ends its process as SIGSEGV or SIGBUS does, `exec` begins another program, and any other exception
 * is a mistake of the program's author and ends the run.
 *
 * Linux: kernel/entry/common.c exit_to_user_mode_loop; kernel/signal.c get_signal, for fatal ones.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { KernelBug, MachineStopped, UsageError } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { TASK_REGISTERS, Task, type Tasks } from "../../sync/task.ts";
import { UserSignal } from "../user-signal.ts";
import type { BlockingCalls } from "./blocking-calls.ts";
import type { ExitTask } from "./exit-task.ts";
import type { ProgramEntry, Programs } from "./programs.ts";
import { StepBlocked, TaskExit, TaskKilled, TaskReplaced } from "./task-endings.ts";
import { ProgramForm, Signal, type TaskRef } from "./task-state.ts";

const task = Task;

export interface ExecutionParts {
  readonly cpu: Cpu;
  readonly tasks: Tasks;
  readonly programs: Programs;
  readonly exits: ExitTask;
  readonly blocking: BlockingCalls;
  /** What a program is given: `direct` for plain functions and step programs, `yielding` for generators. */
  readonly users: { readonly direct: unknown; readonly yielding: unknown };
  readonly shouldSwitch: () => boolean;
  readonly report: (text: string) => void;
}

export class Execution {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: ExecutionParts;
  /** Of started generators of this CPU. */
  private readonly generators = new Map<TaskRef, Generator>();
  /** The registers of the step program that runs here. */
  private readonly registers: number[] = new Array(TASK_REGISTERS).fill(0);
  /** Whose registers the CPU has; 0 nobody's. */
  private loaded: TaskRef = 0;
  private readonly before: number[] = new Array(TASK_REGISTERS).fill(0);

  constructor(parts: ExecutionParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  /** A run begins: RAM may be an earlier one. */
  forget(): void {
    this.generators.clear();
    this.loaded = 0;
  }

  /** The running task's code, until it must be switched out. */
  execute(at: TaskRef): void {
    while (this.runs(at));
  }

  /** One go; whether the task goes on at once. */
  private runs(at: TaskRef): boolean {
    const { parts } = this;
    try {
      if (parts.exits.isKilled(at)) throw new TaskKilled();
      const entry = parts.programs.at(this.memory.read(at + task.program));
      switch (entry.form) {
        case ProgramForm.PLAIN:
          this.begin(at);
          return this.ended(at, entry.start(parts.users.direct, ...this.valuesOf(at)));
        case ProgramForm.GENERATOR:
          return this.resume(at, entry);
        default:
          return this.steps(at, entry);
      }
    } catch (error) {
      return this.left(at, error);
    }
  }

  private begin(at: TaskRef): void {
    this.memory.write(at + task.isStarted, 1);
  }

  private valuesOf(at: TaskRef): number[] {
    const { memory } = this;
    return Array.from({ length: memory.read(at + task.argumentCount) }, (_, i) =>
      memory.readFloat64(at + task.arguments + 2 * i),
    );
  }

  // ---- generators ----

  private resume(at: TaskRef, entry: ProgramEntry): boolean {
    let generator = this.generators.get(at);
    if (generator === undefined) {
      this.begin(at);
      generator = entry.start(this.parts.users.yielding, ...this.valuesOf(at)) as Generator;
      this.generators.set(at, generator);
    }
    for (;;) {
      const { done, value } = generator.next();
      this.cpu.endOperation();
      if (done === true) return this.ended(at, value);
      if (this.mustLeave(at)) return false;
    }
  }

  /** Whether the task is switched out here: it waits, or others are due. */
  private mustLeave(at: TaskRef): boolean {
    const { parts, memory } = this;
    if (memory.read(at + task.blockedCall) !== 0) return true;
    if (parts.exits.isKilled(at)) throw new TaskKilled();
    return parts.shouldSwitch();
  }

  // ---- step programs ----

  private steps(at: TaskRef, entry: ProgramEntry): boolean {
    const { registers, before } = this;
    this.begin(at);
    this.loadRegisters(at);
    this.parts.blocking.endYield(at);
    for (;;) {
      for (let i = 0; i < TASK_REGISTERS; i++) before[i] = registers[i];
      try {
        const result = entry.step?.(this.parts.users.direct, registers);
        this.cpu.endOperation();
        if (typeof result === "number") return this.ended(at, result);
      } catch (error) {
        if (!(error instanceof StepBlocked)) throw error;
        // The step begins again when the task goes on.
        for (let i = 0; i < TASK_REGISTERS; i++) registers[i] = before[i];
      }
      if (!this.mustLeave(at)) continue;
      return false;
    }
  }

  private loadRegisters(at: TaskRef): void {
    if (this.loaded === at) return;
    this.loaded = at;
    for (let i = 0; i < TASK_REGISTERS; i++)
      this.registers[i] = this.memory.readFloat64(at + task.registers + 2 * i);
  }

  /** What the CPU has of a step program goes to its task.  Linux: __switch_to. */
  saveRegisters(at: TaskRef): void {
    const { memory, registers } = this;
    if (this.loaded !== at) return;
    this.loaded = 0;
    for (let i = 0; i < TASK_REGISTERS; i++) memory.writeFloat64(at + task.registers + 2 * i, registers[i]);
  }

  /** Whether the running task is one: its system calls begin again instead of waiting. */
  get isStepProgram(): boolean {
    return this.memory.read(this.cpu.current + task.form) === ProgramForm.STEP;
  }

  // ---- ends ----

  /** The program has returned.  The first thread's return ends the process, as main's does in C. */
  private ended(at: TaskRef, value: unknown): boolean {
    const status = typeof value === "number" ? value : 0;
    const isLeader = this.memory.read(at + task.groupLeader) === at;
    return this.exit(at, status, isLeader);
  }

  private left(at: TaskRef, error: unknown): boolean {
    const { parts } = this;
    if (error instanceof TaskReplaced) {
      this.drop(at);
      return true;
    }
    if (parts.exits.isKilled(at) || error instanceof TaskKilled) return this.die(at, Signal.KILL);
    if (error instanceof TaskExit) return this.exit(at, error.status, error.isGroup);
    if (error instanceof UserSignal) {
      parts.report(`${this.nameOf(at)}: ${error.message}`);
      return this.die(at, Signal[error.signal]);
    }
    const isKernels =
      error instanceof KernelBug || error instanceof MachineStopped || error instanceof UsageError;
    if (isKernels || !(error instanceof Error)) throw error;
    const where = `task ${this.nameOf(at)} on cpu ${this.cpu.id}`;
    const wrapped = new Error(`${where}: ${error.name}: ${error.message}`, { cause: error });
    if (error.stack !== undefined) wrapped.stack = error.stack;
    throw wrapped;
  }

  private exit(at: TaskRef, status: number, isGroup: boolean): boolean {
    const code = (status & 0xff) << 8;
    this.leave(at);
    if (isGroup) this.parts.exits.groupExit(code);
    else this.parts.exits.exit(code);
    return false;
  }

  private die(at: TaskRef, signal: number): boolean {
    this.leave(at);
    this.parts.exits.groupExit(signal);
    return false;
  }

  private leave(at: TaskRef): void {
    this.drop(at);
    this.parts.blocking.cancel(at);
  }

  /** What this thread has of its program. */
  private drop(at: TaskRef): void {
    this.generators.delete(at);
    if (this.loaded === at) this.loaded = 0;
  }

  private nameOf(at: TaskRef): string {
    return `${this.parts.tasks.nameOf(at)}[${this.memory.read(at + task.pid)}]`;
  }
}
