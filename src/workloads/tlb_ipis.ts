/**
 * How many interrupts a system call costs each other CPU of its process: CPU 0 makes the calls, the others run threads of the
 * same address space, which read a page that nobody changes.
 *
 * Counted are the interrupts that the others have taken between the beginning of a call and its end: who flushes waits until all
 * have answered.  Linux: the rows CAL and TLB of /proc/interrupts.
 */

import { Vector } from "../hardware/vectors.ts";
import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Work } from "../memory/work.ts";
import { Madvice } from "../process/madvise.ts";
import { Prot } from "../process/vm-flags.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { UserProgram } from "./parts/user-program.ts";
import { endSpaces, makeSpaces, nameSpaces, type UserSpaces } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "tlb_ipis",
  summary: "CPU 0 unmaps and protects pages of a process that runs on all CPUs; gives interrupts a call.",
  phases: ["calls"],
  operation: "one of each: madvise of 1 and of 34 pages, two mprotects, mmap with touch and munmap",
  options: {},
  minCpus: 2,
};

/** What a peer computes between two reads, in simulated time. */
const PEER_NS = 100;
/** One more than are flushed one by one. */
const MANY_PAGES = 34;

interface Shared {
  readonly spaces: UserSpaces;
  /** Address of the page that the peers read, as two words: a float64. */
  readonly page: Pointer;
  /** 1 once CPU 0 is through. */
  readonly over: Pointer;
}

export function setup(kernel: Kernel): Shared {
  const [page, over] = [takeScratch(kernel, 2), takeScratch(kernel, 1)];
  return { page, over, spaces: makeSpaces(kernel, {}) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  const { spaces, page, over } = shared as Shared;
  nameSpaces(kernel, spaces);
  nameWords(kernel, "page", page, 2);
  nameWords(kernel, "over", over);
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { cpu, memory, paging } = kernel;
  const { spaces, page, over } = shared as Shared;
  const program = new UserProgram(kernel, spaces);
  program.enter();
  if (cpu.id === 0) {
    const start = program.map(1);
    program.touch(start, 1);
    memory.writeFloat64(page, start);
    kernel.gate();
    const metrics = new Caller(kernel, program).run();
    memory.store(over, 1);
    memory.wake(over);
    kernel.gate();
    program.unmap(start, 1);
    program.leave();
    return metrics;
  }
  kernel.gate();
  const start = memory.readFloat64(page);
  kernel.gate();
  while (memory.load(over) === 0) {
    paging.user.read(start);
    memory.work(Work.COMPUTE, PEER_NS);
    cpu.endOperation();
  }
  kernel.gate();
  program.leave();
  return null;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { spaces, page, over } = shared as Shared;
  endSpaces(kernel, spaces);
  freeScratch(kernel, page, 2);
  freeScratch(kernel, over, 1);
}

/** CPU 0's part. */
class Caller {
  private readonly kernel: Kernel;
  private readonly program: UserProgram;
  /** Interrupts by the name of what caused them. */
  private readonly taken = new Map<string, number>();

  constructor(kernel: Kernel, program: UserProgram) {
    this.kernel = kernel;
    this.program = program;
  }

  run(): MetricsValue {
    const { kernel, program } = this;
    const one = program.map(1);
    const many = program.map(MANY_PAGES);
    let rounds = 0;
    kernel.phase("calls", () => {
      for (; kernel.more(rounds); rounds++) this.round(one, many);
      return rounds;
    });
    program.unmap(one, 1);
    program.unmap(many, MANY_PAGES);
    const each = rounds * (kernel.cpus - 1);
    const metrics = [...this.taken].map(
      ([name, sum]) => [name, { value: sum / each, unit: "IPIs a peer" }] as const,
    );
    return { metrics: Object.fromEntries(metrics) };
  }

  private round(one: number, many: number): void {
    const { kernel, program } = this;
    const { calls } = kernel.processes;
    const { mm } = program;
    const giveBack = (start: number, pages: number): void =>
      done(calls.madvise(mm, start, pages * PAGE_BYTES, Madvice.DONTNEED));
    const protect = (prot: number): void => done(calls.mprotect(mm, one, PAGE_BYTES, prot));
    program.touch(one, 1);
    this.count("madvise(DONTNEED) of 1 present page", () => giveBack(one, 1));
    program.touch(many, MANY_PAGES);
    this.count(`madvise(DONTNEED) of ${MANY_PAGES} present pages`, () => giveBack(many, MANY_PAGES));
    program.touch(one, 1);
    this.count("mprotect RW → R → RW of one present page", () => {
      protect(Prot.READ);
      protect(Prot.READ | Prot.WRITE);
    });
    this.count("mmap, touch, munmap", () => {
      const start = program.map(1);
      program.touch(start, 1);
      program.unmap(start, 1);
    });
    kernel.cpu.endOperation();
  }

  /** Runs `body` and adds up what the other CPUs have been interrupted meanwhile. */
  private count(name: string, body: () => void): void {
    const before = this.interrupts();
    body();
    this.taken.set(name, (this.taken.get(name) ?? 0) + this.interrupts() - before);
  }

  private interrupts(): number {
    const { cpu, cpus } = this.kernel;
    let sum = 0;
    for (let id = 1; id < cpus; id++) sum += cpu.interruptsTaken(Vector.CALL_FUNCTION, id);
    return sum;
  }
}

function done(result: number): void {
  if (result !== 0) bug(`a system call gives ${result}`);
}
