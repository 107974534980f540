/**
 * The system calls of a program that wait for no other task.
 *
 * Each call costs what entering the kernel costs, and ends as every operation does: interrupts are taken, and a task that was
 * killed meanwhile does not return to its program.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { Errno } from "../../memory/errno.ts";
import type { Memory } from "../../memory/memory.ts";
import { Work } from "../../memory/work.ts";
import type { UserAccess } from "../../mm/shootdown/user-access.ts";
import { Task } from "../../sync/task.ts";
import { Madvice } from "../madvise.ts";
import { Mlock2Flag, MlockallFlag } from "../mlock.ts";
import { MapFlag } from "../mmap.ts";
import { MremapFlag } from "../mremap.ts";
import { MsyncFlag } from "../msync.ts";
import type { SystemCalls } from "../system-calls.ts";
import type { MmRef } from "../vm-area.ts";
import { Prot } from "../vm-flags.ts";
import { type BlockingCalls, WaitOption } from "./blocking-calls.ts";
import { CloneFlag } from "./fork-task.ts";
import type { ProcessCalls } from "./process-calls.ts";
import { TaskExit } from "./task-endings.ts";
import { type Attention, UserMemory } from "./user-memory.ts";

const task = Task;
const THREAD = CloneFlag.VM | CloneFlag.SIGHAND | CloneFlag.THREAD;

export interface MapOptions {
  readonly address?: number;
  /** PROT bits; default READ | WRITE. */
  readonly prot?: number;
  /** MAP bits; default PRIVATE | ANONYMOUS. */
  readonly flags?: number;
}

export interface CloneOptions {
  /** CLONE bits: without VM the child has a copy of the address space, with THREAD it is a thread of the process. */
  readonly flags: number;
  /** With CLONE.CHILD_CLEARTID: a word that becomes 0 when the child ends, and whose futex is woken. */
  readonly childTid?: number;
}

export interface UserCallsParts {
  readonly cpu: Cpu;
  readonly access: UserAccess;
  readonly attention: Attention;
  readonly calls: SystemCalls;
  readonly blocking: BlockingCalls;
  readonly processes: ProcessCalls;
  /** What a program says: it goes to the run's result. */
  readonly print: (text: string) => void;
  readonly more: (operations: number) => boolean;
}

export class UserCalls extends UserMemory {
  /** Constants, named as in C without their prefix. */
  readonly PROT = Prot;
  readonly MAP = MapFlag;
  readonly MREMAP = MremapFlag;
  readonly MADV = Madvice;
  readonly MLOCK = Mlock2Flag;
  readonly MCL = MlockallFlag;
  readonly MS = MsyncFlag;
  readonly CLONE = CloneFlag;
  readonly WAIT = WaitOption;
  readonly ERRNO = Errno;
  declare protected readonly blocking: BlockingCalls;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: UserCallsParts;

  constructor(parts: UserCallsParts) {
    super(parts.access, parts.attention);
    this.parts = parts;
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.blocking = parts.blocking;
  }

  // ---- address space ----

  /** A new mapping's address, or a negated errno. */
  mmap(bytes: number, { address = 0, prot, flags }: MapOptions = {}): number {
    const request = {
      address,
      bytes,
      prot: prot ?? Prot.READ | Prot.WRITE,
      flags: flags ?? MapFlag.PRIVATE | MapFlag.ANONYMOUS,
      file: null,
      offset: 0,
    };
    return this.call((mm) => this.parts.calls.mmap(mm, request));
  }

  munmap(address: number, bytes: number): number {
    return this.call((mm) => this.parts.calls.munmap(mm, address, bytes));
  }

  mprotect(address: number, bytes: number, prot: number): number {
    return this.call((mm) => this.parts.calls.mprotect(mm, address, bytes, prot));
  }

  mremap(address: number, oldBytes: number, newBytes: number, flags = 0, to = 0): number {
    return this.call((mm) => this.parts.calls.mremap(mm, { address, oldBytes, newBytes, flags, to }));
  }

  /** The end of the heap, moved to `end` if that can be; 0 asks. */
  brk(end = 0): number {
    return this.call((mm) => this.parts.calls.brk(mm, end));
  }

  madvise(address: number, bytes: number, advice: number): number {
    return this.call((mm) => this.parts.calls.madvise(mm, address, bytes, advice));
  }

  mlock(address: number, bytes: number): number {
    return this.call((mm) => this.parts.calls.locking.mlock(mm, address, bytes));
  }

  mlock2(address: number, bytes: number, flags: number): number {
    return this.call((mm) => this.parts.calls.locking.mlock2(mm, address, bytes, flags));
  }

  munlock(address: number, bytes: number): number {
    return this.call((mm) => this.parts.calls.locking.munlock(mm, address, bytes));
  }

  mlockall(flags: number): number {
    return this.call((mm) => this.parts.calls.locking.mlockall(mm, flags));
  }

  munlockall(): number {
    return this.call((mm) => this.parts.calls.locking.munlockall(mm));
  }

  msync(address: number, bytes: number, flags: number): number {
    return this.call((mm) => this.parts.calls.msync(mm, address, bytes, flags));
  }

  /** For each page 1 if it is in memory, or a negated errno. */
  mincore(address: number, bytes: number): number[] | number {
    return this.call((mm) => this.parts.calls.mincore(mm, address, bytes));
  }

  // ---- tasks ----

  /** A child with a copy of this address space that begins `program`, an export's name, with integers; its pid. */
  fork(program: string, ...values: number[]): number {
    return this.clone({ flags: 0 }, program, ...values);
  }

  /** A thread of this process that begins `program`; its tid. */
  thread(program: string, ...values: number[]): number {
    return this.clone({ flags: THREAD }, program, ...values);
  }

  clone({ flags, childTid = 0 }: CloneOptions, program: string, ...values: number[]): number {
    return this.call(() => this.parts.processes.clone({ program, values, flags, childTid }));
  }

  /** Ends this thread; of the only one, the process. */
  exit(status = 0): never {
    throw new TaskExit(status, false);
  }

  /** Ends the process. */
  exitGroup(status = 0): never {
    throw new TaskExit(status, true);
  }

  /** Sends a process SIGKILL (9), or nothing (0), to see whether it is there. */
  kill(pid: number, signal: number): number {
    return this.call(() => this.parts.processes.kill(pid, signal));
  }

  getpid(): number {
    return this.call(() => this.memory.read(this.cpu.current + task.tgid));
  }

  gettid(): number {
    return this.call(() => this.memory.read(this.cpu.current + task.pid));
  }

  getppid(): number {
    return this.call(() => this.parts.processes.parentPid());
  }

  getcpu(): number {
    return this.cpu.id;
  }

  /** On which CPUs a task (0: this one) may run. */
  schedSetaffinity(pid: number, cpus: readonly number[]): number {
    return this.call(() => this.parts.processes.setAffinity(pid, cpus));
  }

  /** Wakes up to `count` tasks that wait at `address`; how many. */
  futexWake(address: number, count = 1): number {
    return this.call(() => this.parts.processes.futexWake(address, count));
  }

  // ---- beside the kernel ----

  /** Writes a line to what the run prints. */
  print(...values: readonly unknown[]): void {
    this.parts.print(values.map(String).join(" "));
  }

  /** Time since boot, ns: the host's, or simulated. */
  nowNs(): number {
    return this.cpu.nowNs();
  }

  /** Whether a loop that has done `operations` goes on: until the run's time is up or its operations are done. */
  more(operations = 0): boolean {
    return this.parts.more(operations);
  }

  /** One attempt of a call that may wait. */
  protected attempt<T>(attempt: () => T): T {
    this.attention.look();
    return this.call(attempt);
  }

  protected tryExec(program: string, values: readonly number[]): number | null {
    return this.parts.processes.exec(program, values);
  }

  private call<T>(body: (mm: MmRef) => T): T {
    const { memory, cpu } = this;
    memory.work(Work.SYSCALL, 1);
    const result = body(memory.read(cpu.current + task.mm));
    cpu.endOperation();
    if (this.attention.isDue) this.attention.look();
    return result;
  }
}
