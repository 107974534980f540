/**
 * System calls on tasks: the checks, and what is done under which lock.
 *
 * Linux: kernel/signal.c kill_pid_info; kernel/sched/syscalls.c sched_setaffinity; fs/exec.c begin_new_exec.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Errno } from "../../memory/errno.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Rcu } from "../../sync/rcu.ts";
import { Task } from "../../sync/task.ts";
import { BlockedCall, type BlockingCalls } from "./blocking-calls.ts";
import type { ContextSwitch } from "./context-switch.ts";
import type { ExitTask } from "./exit-task.ts";
import type { ForkTask, NewTask } from "./fork-task.ts";
import type { Futexes } from "./futex.ts";
import { makeProgramSpace, type ProgramSpaceParts } from "./program-space.ts";
import type { RunQueues } from "./run-queues.ts";
import { TaskKilled, TaskReplaced } from "./task-endings.ts";
import type { TaskList } from "./task-list.ts";
import { Signal, type TaskRef } from "./task-state.ts";

const task = Task;

export interface ProcessCallsParts extends ProgramSpaceParts {
  readonly cpu: Cpu;
  readonly rcu: Rcu;
  readonly list: TaskList;
  readonly forks: ForkTask;
  readonly exits: ExitTask;
  readonly blocking: BlockingCalls;
  readonly futexes: Futexes;
  readonly queues: RunQueues;
  readonly switching: ContextSwitch;
}

export class ProcessCalls {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: ProcessCallsParts;

  constructor(parts: ProcessCallsParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  clone(request: NewTask): number {
    return this.parts.forks.clone(request);
  }

  futexWake(address: number, count: number): number {
    return this.parts.futexes.wake(address, count);
  }

  parentPid(): number {
    const { memory } = this;
    return memory.read(memory.read(this.cpu.current + task.parent) + task.pid);
  }

  kill(pid: number, signal: number): number {
    if (signal !== Signal.KILL && signal !== 0) return -Errno.EINVAL;
    return this.onTask(pid, (at) => {
      if (signal === Signal.KILL) this.parts.exits.killGroup(at);
      return 0;
    });
  }

  setAffinity(pid: number, cpus: readonly number[]): number {
    const { queues } = this.parts;
    if (cpus.length === 0 || !cpus.every((cpu) => Number.isInteger(cpu) && cpu >= 0 && cpu < queues.cpus))
      return -Errno.EINVAL;
    return this.onTask(pid, (at) => (queues.setAffinity(at, cpus) ? 0 : -Errno.EINVAL));
  }

  /** An attempt: throws when the program has been replaced, null when other threads must end first. */
  exec(program: string, values: readonly number[]): number | null {
    const { cpu, parts } = this;
    const at = cpu.current;
    const place = parts.forks.placeOf(program, values);
    if (place < 0) return place;
    parts.blocking.enter(at, BlockedCall.EXEC);
    const isOnly = parts.forks.becomeOnly();
    if (isOnly === null) return null;
    parts.blocking.cancel(at);
    if (!isOnly) return -Errno.EAGAIN;
    const mm = makeProgramSpace(parts);
    if (mm === 0) {
      parts.exits.killGroup(at);
      throw new TaskKilled();
    }
    parts.exits.clearChildTid(at);
    parts.switching.execMm(mm);
    parts.forks.load(at, place, values);
    throw new TaskReplaced();
  }

  /** What `body` returns for the task with this pid (0: the running one), or -ESRCH. */
  private onTask(pid: number, body: (at: TaskRef) => number): number {
    const { rcu, list } = this.parts;
    if (pid === 0) return body(this.cpu.current);
    rcu.readLock();
    const at = list.find(pid);
    const result = at === 0 ? -Errno.ESRCH : body(at);
    rcu.readUnlock();
    return result;
  }
}
