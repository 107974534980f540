/**
 * How control leaves a program's code for the kernel when it is not by a return: thrown through the program's own frames.
 * A program that catches one of these meets it again at its next system call.
 */

/** exit and exit_group. */
export class TaskExit extends Error {
  override readonly name = "TaskExit";
  readonly status: number;
  readonly isGroup: boolean;

  constructor(status: number, isGroup: boolean) {
    super(`exit(${status})`);
    this.status = status;
    this.isGroup = isGroup;
  }
}

/** A signal ends the task. */
export class TaskKilled extends Error {
  override readonly name = "TaskKilled";
}

/** exec: the task runs another program from here on. */
export class TaskReplaced extends Error {
  override readonly name = "TaskReplaced";
}

/** A step program waits: its step is begun again when it goes on. */
export class StepBlocked extends Error {
  override readonly name = "StepBlocked";
}

export const isEnding = (error: unknown): boolean =>
  error instanceof TaskExit || error instanceof TaskKilled || error instanceof TaskReplaced;
