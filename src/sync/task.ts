/**
 * struct task, and who runs here in which allocation context; `current` is a register of the CPU.
 *
 * Each CPU has a task of its own, where boot puts it: it runs kernel modules, and in the scheduler's loop it is the CPU's
 * idle task.  That of CPU 0 is init: it has the orphans.  All other tasks are objects: process/tasks.  Only tasks of
 * programs are switched; a kernel lock that a task sleeps for halts the CPU: see `Sleepers`.
 *
 * The context flags say what an allocation may do on behalf of this task whatever its gfp flags say: without them a
 * filesystem that allocates below its own locks would need to pass GFP_NOFS down every call.
 *
 * Linux: include/linux/sched.h, include/linux/sched/mm.h.
 * Differs: a pid is a number that a hash of tasks finds; there is no struct pid, and there are no namespaces.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import { ListHead } from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { align, array, embed, float64, struct, word } from "../memory/struct.ts";
import { LINE_WORDS, type Pointer } from "../memory/units.ts";
import { cpuMask } from "./cpumask.ts";
import { RcuHead } from "./rcu-callbacks.ts";
import { SpinLock } from "./spinlock-layout.ts";
import { WaitQueueEntry } from "./wait-queue.ts";

/** Bytes of a task's name, the final 0 included.  Linux: TASK_COMM_LEN. */
export const TASK_NAME_BYTES = 16;
/** Integers that a program is given, and those that a step program has. */
export const TASK_ARGUMENTS = 6;
export const TASK_REGISTERS = 16;

export const Task = struct("task", {
  /** TaskFlag bits, written by the task itself. */
  flags: word("owner-cpu", "flags"),
  pid: word("hint:lock:tasklist_lock"),
  cpu: word("hint:lock:rq.lock"),
  /** The address space it runs in; 0 for a kernel thread. */
  mm: word("hint:owner-cpu", "pointer:mm_struct"),
  /** The address space whose tables are loaded, borrowed by a kernel thread; 0 is the kernel's own. */
  activeMm: word("owner-cpu", "pointer:mm_struct"),
  name: array(TASK_NAME_BYTES / 4, "owner-cpu", "bytes"),
  /** Faults that needed no input, and those that did.  Linux: min_flt, maj_flt. */
  minFlt: word("owner-cpu", "counter"),
  majFlt: word("owner-cpu", "counter"),
  /** Where its pages come from; 0: its own node first.  See mm/pages/mempolicy. */
  mempolicy: word("owner-cpu", "pointer:mempolicy"),
  /** The node that gave the last page of an interleaving policy.  Linux: il_prev. */
  interleavePrevious: word("owner-cpu"),
  /** Lowest word of its kernel stack: a CPU's own task has one, all others run on that. */
  stack: word("boot", "pointer:word"),

  /** TaskState.  Linux: __state. */
  state: word("atomic", "flags"),
  /** 1 while a CPU runs it, until that CPU has switched to the next. */
  onCpu: word("atomic"),
  /** OnRq: on a run queue, running there, or moved between two. */
  onRq: word("atomic"),
  /** ThreadFlag bits, which others set.  Linux: thread_info.flags. */
  threadFlags: word("atomic", "flags"),
  /** On its run queue while it is able to run and does not. */
  queued: embed(ListHead, "lock:rq.lock"),
  /** Held to wake it, and to say where it may run.  Linux: pi_lock. */
  wakeLock: embed(SpinLock, "atomic"),
  cpusMask: cpuMask("atomic"),
  switchesVoluntary: word("hint:owner-cpu", "counter"),
  switchesInvoluntary: word("hint:owner-cpu", "counter"),
  migrations: word("hint:lock:rq.lock", "counter"),
  /** When it was last put on its CPU, and for how long it has run before.  Linux: exec_start, sum_exec_runtime. */
  execStartNs: float64("hint:owner-cpu"),
  runtimeNs: float64("hint:owner-cpu"),
  startNs: float64("boot"),

  /** What it runs: ProgramForm, place in the table of programs, the integers it was given. */
  form: word("owner-cpu"),
  program: word("owner-cpu"),
  /** Whether it has run: a plain function or generator is bound to its CPU then. */
  isStarted: word("hint:owner-cpu", "flags"),
  argumentCount: word("owner-cpu", "counter"),
  /** The system call in which it waits: see process/tasks/blocking-calls. */
  blockedCall: word("owner-cpu"),
  arguments: float64("owner-cpu", TASK_ARGUMENTS),
  /** A step program's, while no CPU runs it. */
  registers: float64("owner-cpu", TASK_REGISTERS),

  tgid: word("hint:lock:tasklist_lock"),
  /** Next in its place of the pid hash. */
  hashNext: word("rcu:tasklist_lock", "pointer:task"),
  /** On the list of all processes, by their group leaders. */
  processes: embed(ListHead, "rcu:tasklist_lock"),
  groupLeader: word("hint:lock:tasklist_lock", "pointer:task"),
  signal: word("rcu:tasklist_lock", "pointer:signal_struct"),
  /** On `signal.threads`. */
  thread: embed(ListHead, "rcu:tasklist_lock"),
  parent: word("rcu:tasklist_lock", "pointer:task"),
  children: embed(ListHead, "lock:tasklist_lock"),
  sibling: embed(ListHead, "lock:tasklist_lock"),
  /** 0, or EXIT_ZOMBIE, EXIT_DEAD. */
  exitState: word("atomic", "flags"),
  /** As wait returns it: signal, or status << 8. */
  exitCode: word("hint:owner-cpu"),
  /** What its parent gets when it ends; -1: nobody waits for it.  Linux: exit_signal. */
  exitSignal: word("lock:tasklist_lock"),
  /** Bit n - 1: signal n is pending. */
  pendingSignals: word("atomic", "flags"),
  /** In a user's memory: cleared, and a futex there woken, when it ends; 0 none.  Linux: clear_child_tid. */
  clearChildTid: float64("owner-cpu"),
  usage: word("atomic", "counter"),
  wait: embed(WaitQueueEntry, "lock:wait_queue.lock"),

  /** Where it waits, what for, and in which bucket it is queued; bucket 0: it has been woken.  Linux: futex_q. */
  futexBucket: word("atomic", "pointer:futex_hash_bucket"),
  futexObject: word("owner-cpu"),
  futexOffset: float64("owner-cpu"),
  futexLink: embed(ListHead, "lock:futex_hash_bucket.lock"),
  rcu: embed(RcuHead, "holder"),
  end: align(LINE_WORDS),
});
const task = Task;

/** Linux: PF_*. */
export const TaskFlag = {
  EXITING: 0x4,
  /** May use all memory, the reserves included: it frees more than it takes. */
  MEMALLOC: 0x800,
  KSWAPD: 0x20000,
  /** Allocations must not call into filesystems. */
  MEMALLOC_NOFS: 0x40000,
  /** Allocations must not start input or output. */
  MEMALLOC_NOIO: 0x80000,
  KTHREAD: 0x200000,
  /** Allocations must not come from places that long-term pins would block. */
  MEMALLOC_PIN: 0x10000000,
} as const;

export class Tasks {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly slot: PerCpuSlot;

  constructor(cpu: Cpu, slot: PerCpuSlot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("task", Task);
  }

  /** The first tasks, on the boot CPU: of `cpus` CPUs those from `programCpus` on run kernel threads. */
  format(cpus: number, programCpus: number): void {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = this.slot.of(cpu);
      const isKernelThread = cpu >= programCpus;
      this.memory.write(at + task.pid, cpu + 1);
      this.memory.write(at + task.cpu, cpu);
      this.memory.write(at + task.flags, isKernelThread ? TaskFlag.KTHREAD : 0);
      this.rename(at, isKernelThread ? `kthread/${cpu}` : `program/${cpu}`);
    }
  }

  /** Makes this CPU's task the current one. */
  attach(): void {
    this.cpu.current = this.slot.of(this.cpu.id);
  }

  /** The task that runs here. */
  get current(): Pointer {
    return this.cpu.current;
  }

  /** Linux: set_task_comm; what does not fit is cut off. */
  rename(at: Pointer, name: string): void {
    for (let i = 0; i < TASK_NAME_BYTES; i++) {
      const code = i < name.length && i < TASK_NAME_BYTES - 1 ? name.charCodeAt(i) & 0xff : 0;
      this.memory.writeByte((at + task.name) * 4 + i, code);
    }
  }

  nameOf(at: Pointer): string {
    let name = "";
    for (let i = 0; i < TASK_NAME_BYTES; i++) {
      const code = this.memory.readByte((at + task.name) * 4 + i);
      if (code === 0) break;
      name += String.fromCharCode(code);
    }
    return name;
  }

  /** What reports call the task that runs here: "program/3 (4)". */
  describeCurrent(): string {
    const { current } = this;
    return `${this.nameOf(current)} (${this.memory.read(current + task.pid)})`;
  }

  // ---- context flags of the current task ----

  get flags(): number {
    return this.memory.read(this.cpu.current + task.flags);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Sets `flag`, one of the MEMALLOC flags; returns what `restore` needs.  Linux: memalloc_flags_save. */
  save(flag: number): number {
    const at = this.cpu.current + task.flags;
    const before = this.memory.read(at);
    this.memory.write(at, before | flag);
    return before & flag;
  }

  /** Puts `flag` back as it was at the matching `save`.  Linux: memalloc_flags_restore. */
  restore(flag: number, saved: number): void {
    if ((saved & ~flag) !== 0) bug(`task ${this.describeCurrent()}: restores flag ${flag} from ${saved}`);
    const at = this.cpu.current + task.flags;
    this.memory.write(at, (this.memory.read(at) & ~flag) | saved);
  }
}
