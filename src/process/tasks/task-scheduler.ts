/**
 * Tasks as one CPU has them, put together: the kernel's `scheduler`.
 *
 *   scheduler.use(programs)            on every CPU: what tasks may run, by name
 *   scheduler.spawn("main", [1, 2])    a process; from setup, or before runTasks
 *   scheduler.runTasks()               on every CPU: runs them all, until all have ended
 *
 * A thread loads this when a program needs it: `needs` of a kernel module, or a user program.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import type { PerCpuSlot } from "../../memory/image.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Paging } from "../../mm/shootdown/paging.ts";
import type { SlabCaches } from "../../mm/slab/slab-caches.ts";
import type { Barriers } from "../../sync/barrier.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { Functions } from "../../sync/functions.ts";
import type { Onces } from "../../sync/once.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { RwLocks } from "../../sync/rwlock.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task, type Tasks } from "../../sync/task.ts";
import type { WaitQueues } from "../../sync/wait-queue.ts";
import type { Processes } from "../processes.ts";
import { UserSignal } from "../user-signal.ts";
import { MmStruct } from "../vm-area.ts";
import { BlockingCalls } from "./blocking-calls.ts";
import { checkTasks } from "./check-tasks.ts";
import { ContextSwitch } from "./context-switch.ts";
import { Execution } from "./execution.ts";
import { ExitTask } from "./exit-task.ts";
import { ForkTask } from "./fork-task.ts";
import { Futexes } from "./futex.ts";
import { ProcessCalls } from "./process-calls.ts";
import { Programs } from "./programs.ts";
import { RunQueues } from "./run-queues.ts";
import { Scheduler } from "./scheduler.ts";
import { TaskKilled } from "./task-endings.ts";
import { RunQueue, type TaskSlots } from "./task-layout.ts";
import { TaskList } from "./task-list.ts";
import type { TaskRef } from "./task-state.ts";
import { TaskTable } from "./task-table.ts";
import { User, YieldingUser } from "./user.ts";

const task = Task;

export interface TaskSchedulerParts {
  readonly cpu: Cpu;
  readonly cpus: number;
  readonly spin: SpinLocks;
  readonly rwlocks: RwLocks;
  readonly masks: CpuMasks;
  readonly functions: Functions;
  readonly onces: Onces;
  readonly barriers: Barriers;
  readonly rcu: Rcu;
  readonly slabs: SlabCaches;
  readonly tasks: Tasks;
  readonly waitQueues: WaitQueues;
  readonly paging: Paging;
  readonly processes: Processes;
  readonly image: { readonly tasks: PerCpuSlot; readonly tasksOfPrograms: TaskSlots };
  printk(text: string): void;
  more(operations: number): boolean;
}

/** A task that has ended on this CPU. */
export interface EndedTask {
  readonly pid: number;
  /** Pid of its process. */
  readonly tgid: number;
  readonly name: string;
  /** As wait returns it. */
  readonly status: number;
  readonly minFlt: number;
  readonly switchesVoluntary: number;
  readonly switchesInvoluntary: number;
  readonly runtimeNs: number;
}

/** A line that a program has printed. */
export interface PrintedLine {
  readonly timeNs: number;
  readonly pid: number;
  readonly text: string;
}

export class TaskScheduler {
  declare readonly list: TaskList;
  declare readonly table: TaskTable;
  declare readonly queues: RunQueues;
  declare private readonly parts: TaskSchedulerParts;
  private readonly programs = new Programs();
  declare private readonly forks: ForkTask;
  declare private readonly scheduler: Scheduler;
  private ends: EndedTask[] = [];
  private lines: PrintedLine[] = [];

  constructor(parts: TaskSchedulerParts) {
    const { cpu, image, processes, paging, spin: locks } = parts;
    const { programs } = this;
    this.parts = parts;
    const slots = image.tasksOfPrograms;
    const base = { ...parts, locks, slots, spaces: processes.spaces, calls: processes.calls, programs };
    this.list = new TaskList({ ...parts, memory: cpu.memory });
    const list = this.list;
    this.queues = new RunQueues(base);
    const queues = this.queues;
    const { own } = queues;
    this.table = new TaskTable({ ...base, list, queues, ownTasks: image.tasks });
    const { table } = this;
    const saveRegisters = (at: TaskRef): void => execution.saveRegisters(at);
    const switching = new ContextSwitch({ ...base, table, own, saveRegisters });
    const user = paging.user;
    const futexes = new Futexes({ ...base, user, vmas: processes.vmas, table, queues });
    const common = { ...base, list, table, queues, switching, futexes };
    const exits = new ExitTask({
      ...common,
      clearChildTid: (at) => this.clearChildTid(at, futexes),
      ended: (at) => this.ended(at),
    });
    const blocking = new BlockingCalls({ ...common, exits });
    this.forks = new ForkTask({ ...common, exits });
    const { forks } = this;
    const attention = {
      isDue: false,
      look: (): void => {
        attention.isDue = false;
        if (exits.isKilled(cpu.current)) throw new TaskKilled();
      },
    };
    const calls = {
      ...common,
      access: user,
      attention,
      blocking,
      processes: new ProcessCalls({ ...common, forks, exits, blocking }),
      print: (text: string) => this.print(text),
      more: (operations: number) => parts.more(operations),
      schedule: () => this.scheduler.schedule(),
      isStepProgram: () => execution.isStepProgram,
    };
    const users = { direct: new User(calls), yielding: new YieldingUser(calls) };
    const report = (text: string): void => parts.printk(text);
    const shouldSwitch = (): boolean => this.scheduler.shouldSwitch;
    const execution = new Execution({ ...common, exits, blocking, users, shouldSwitch, report });
    this.scheduler = new Scheduler({
      ...common,
      execute: (at) => execution.execute(at),
      begin: () => execution.forget(),
      interrupted: () => {
        attention.isDue = true;
      },
      describe: () => this.describeTasks(),
    });
  }

  /** What tasks may run: the same on every CPU, before the first runs. */
  use(exported: Readonly<Record<string, unknown>>): void {
    this.programs.use(exported);
  }

  /**
   * Starts a process with an address space of its own; its pid.  `cpus`: where it may run; default any.  From `setup`, or on a
   * CPU before it calls runTasks.  @may-sleep
   */
  spawn(program: string, values: readonly number[] = [], cpus: readonly number[] = []): number {
    for (const cpu of cpus)
      if (!(cpu >= 0 && cpu < this.parts.cpus))
        throw new UsageError(`spawn: cpu ${cpu} is not valid; valid are 0 to ${this.parts.cpus - 1}`);
    this.parts.processes.start();
    const pid = this.forks.spawn(program, values, cpus);
    return pid > 0 ? pid : bug(`spawn of ${program}(${values.join(", ")}): error ${pid}`);
  }

  /** Runs tasks on this CPU until all of the machine have ended.  Every CPU calls it.  @may-sleep */
  runTasks(): void {
    this.scheduler.runAll();
  }

  /** Context switches of this CPU since boot. */
  get switches(): number {
    return this.parts.cpu.memory.readFloat64(this.queues.own + RunQueue.switches);
  }

  /** What has ended and what was printed on this CPU since the last call. */
  takeOutput(): { readonly ends: readonly EndedTask[]; readonly lines: readonly PrintedLine[] } {
    const { ends, lines } = this;
    this.ends = [];
    this.lines = [];
    return { ends, lines };
  }

  /** The invariants of tasks and run queues, at rest; how many tasks there are. */
  check(): number {
    return checkTasks({ ...this.parts, memory: this.parts.cpu.memory });
  }

  private clearChildTid(at: TaskRef, futexes: Futexes): void {
    const { memory } = this.parts.cpu;
    if (memory.load(memory.read(at + task.mm) + MmStruct.users) < 2) return;
    const address = memory.readFloat64(at + task.clearChildTid);
    try {
      this.parts.paging.user.store(address, 0);
      futexes.wake(address, 1);
    } catch (error) {
      // Its memory is gone: nobody waits there.
      if (!(error instanceof UserSignal)) throw error;
    }
  }

  private ended(at: TaskRef): void {
    const { memory } = this.parts.cpu;
    const sinceNs = this.parts.cpu.nowNs() - memory.readFloat64(at + task.execStartNs);
    this.ends.push({
      pid: memory.read(at + task.pid),
      tgid: memory.read(at + task.tgid),
      name: this.parts.tasks.nameOf(at),
      status: memory.read(at + task.exitCode),
      minFlt: memory.read(at + task.minFlt),
      switchesVoluntary: memory.read(at + task.switchesVoluntary),
      switchesInvoluntary: memory.read(at + task.switchesInvoluntary),
      runtimeNs: memory.readFloat64(at + task.runtimeNs) + sinceNs,
    });
  }

  private print(text: string): void {
    const { cpu } = this.parts;
    const pid = cpu.memory.read(cpu.current + task.pid);
    this.lines.push({ timeNs: cpu.nowNs(), pid, text });
  }

  /** Every task and what it does, for the report of a deadlock. */
  private describeTasks(): string {
    const texts: string[] = [];
    this.list.forEachProcess((leader) =>
      this.list.forEachThread(leader, (at) => texts.push(this.describeTask(at))),
    );
    return texts.join("; ");
  }

  private describeTask(at: TaskRef): string {
    const { memory } = this.parts.cpu;
    const cpu = memory.read(at + task.cpu);
    const where = `${this.parts.tasks.nameOf(at)}[${memory.read(at + task.pid)}] on cpu ${cpu}`;
    if (memory.load(at + task.exitState) !== 0) return `${where} has ended`;
    const call = ["", "wait4", "futex", "sched_yield", "exec"][memory.read(at + task.blockedCall)];
    if (memory.load(at + task.state) !== 0) return `${where} sleeps in ${call}`;
    const queue = this.queues.of(cpu);
    if (this.queues.canRun(queue, at)) return `${where} is able to run`;
    const top: Pointer = memory.read(queue + RunQueue.top);
    return `${where} could go on in ${call}, but ${this.parts.tasks.nameOf(top)}[${memory.read(top + task.pid)}], a plain function too, waits on top of it`;
  }
}
