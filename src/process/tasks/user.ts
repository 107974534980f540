/**
 * What a program is given: its memory and the system calls, with the kernel's semantics and error numbers.
 *
 * A plain function and the steps of a step program call what waits and have its result (`User`); a generator writes
 * `yield*` before it (`YieldingUser`).  A call that fails returns a negated errno, as the kernel does: -12 is ENOMEM.
 *
 * Linux: include/linux/syscalls.h, arch/x86/entry/syscalls/syscall_64.tbl.
 */

import type { WaitResult } from "./blocking-calls.ts";
import { StepBlocked } from "./task-endings.ts";
import { UserCalls, type UserCallsParts } from "./user-calls.ts";

export interface UserParts extends UserCallsParts {
  /** Lets others run until the running plain function goes on.  Throws what ends it. */
  readonly schedule: () => void;
  readonly isStepProgram: () => boolean;
}

/** For plain functions and step programs. */
export class User extends UserCalls {
  declare private readonly waits: UserParts;

  constructor(parts: UserParts) {
    super(parts);
    this.waits = parts;
  }

  /** Waits for a child (-1: any) to end; `options` of WAIT. */
  wait4(pid = -1, options = 0): WaitResult {
    return this.until(() => this.blocking.wait(pid, options));
  }

  /** Sleeps while the word at `address` is `expected`: 0 when woken, -EAGAIN when it is another value. */
  futexWait(address: number, expected: number): number {
    return this.until(() => this.blocking.futexWait(address, expected));
  }

  /** Lets others run that are able to; a step program when its step ends. */
  schedYield(): number {
    if (this.waits.isStepProgram()) return this.blocking.yieldAfterStep();
    return this.until(() => this.blocking.yield());
  }

  /** Begins `program` in a new address space, as the process's only thread; returns only with an error. */
  exec(program: string, ...values: number[]): number {
    return this.until(() => this.tryExec(program, values));
  }

  private until<T>(attempt: () => T | null): T {
    for (;;) {
      const result = this.attempt(attempt);
      if (result !== null) return result;
      if (this.waits.isStepProgram()) throw new StepBlocked();
      this.waits.schedule();
    }
  }
}

/** For generators: what waits is called with `yield*`. */
export class YieldingUser extends UserCalls {
  wait4(pid = -1, options = 0): Generator<undefined, WaitResult> {
    return this.until(() => this.blocking.wait(pid, options));
  }

  futexWait(address: number, expected: number): Generator<undefined, number> {
    return this.until(() => this.blocking.futexWait(address, expected));
  }

  schedYield(): Generator<undefined, number> {
    return this.until(() => this.blocking.yield());
  }

  exec(program: string, ...values: number[]): Generator<undefined, number> {
    return this.until(() => this.tryExec(program, values));
  }

  private *until<T>(attempt: () => T | null): Generator<undefined, T> {
    for (;;) {
      const result = this.attempt(attempt);
      if (result !== null) return result;
      yield;
    }
  }
}
