/**
 * A program forks a child for every few CPUs, and all write to the pages that they share, at once: each process finds what its
 * own CPUs have written, and what was there when it was forked.
 *
 * In each round a CPU leaves out every third page, so that it looks at copies that others have made and its TLB may not know.
 * CPU 0 forks while the others of the parent go on writing, so a child may have a word of theirs as it was before or
 * after; but whatever it finds stays.  At the end of a round all children end at once.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { UserProgram } from "./parts/user-program.ts";
import {
  endSpaces,
  makeSpaces,
  nameSpaces,
  pagesOption,
  requireRoom,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "cow-storm",
  summary:
    "A program forks a child for every few CPUs, and all write to the shared pages at once; each is checked.",
  phases: ["storm"],
  operation: "one page that a CPU may write to and all of whose words it looks at; rounds are finished",
  options: {
    pages: pagesOption(8),
    threads: {
      type: "integer",
      default: 2,
      min: 1,
      max: 256,
      help: "CPUs of each process, the parent's too",
    },
  },
  explore: {
    operations: 4,
    options: { pages: 2, threads: 2 },
    cpus: 4,
    mutants: ["cow-no-recheck", "cow-no-flush", "cow-reuse-shared", "fork-flush-skipped"],
  },
};

const START = 2 ** 40;

interface Shared {
  readonly spaces: UserSpaces;
  /** A word a process: its address space. */
  readonly teams: Pointer;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  requireRoom(kernel, describe.name, options.pages as number, 2);
  const teams = takeScratch(kernel, kernel.cpus);
  const spaces = makeSpaces(kernel, {});
  kernel.memory.write(teams, spaces.mms[0]);
  return { spaces, teams };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, (shared as Shared).spaces);
  nameWords(kernel, "processes", (shared as Shared).teams, kernel.cpus);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const { spaces, teams } = shared as Shared;
  const storm = new Storm(kernel, options, teams);
  const program = new UserProgram(kernel, spaces);
  const pages = options.pages as number;
  program.enter();
  if (kernel.cpu.id === 0) program.map(pages, START);
  kernel.phase("storm", () => {
    let done = 0;
    while (kernel.anotherRound(done)) {
      storm.round();
      done += pages;
      kernel.cpu.endOperation();
    }
    return done;
  });
  if (kernel.cpu.id === 0) program.unmap(START, pages);
  program.leave();
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { spaces, teams } = shared as Shared;
  endSpaces(kernel, spaces);
  freeScratch(kernel, teams, kernel.cpus);
}

/** Rounds of one CPU.  Of each page every CPU has a word. */
class Storm {
  private readonly kernel: Kernel;
  private readonly teams: Pointer;
  private readonly pages: number;
  private readonly threads: number;
  private readonly team: number;
  private number = 0;

  constructor(kernel: Kernel, { pages, threads }: ProgramOptions, teams: Pointer) {
    this.kernel = kernel;
    this.teams = teams;
    this.pages = pages as number;
    this.threads = threads as number;
    this.team = this.teamOf(kernel.cpu.id);
  }

  round(): void {
    const { kernel, team, teams } = this;
    const { processes, memory, cpu } = kernel;
    this.number++;
    if (cpu.id === 0) this.fork();
    // The others of the parent do not wait for the end of the forks.
    else if (team === 0) this.writeAll();
    kernel.gate();
    const mm = memory.load(teams + team);
    if (team !== 0) processes.use(mm);
    const found = team === 0 ? [] : this.readAll();
    if (team !== 0 || cpu.id === 0) this.writeAll();
    kernel.gate();
    this.compare(found, this.readAll());
    kernel.gate();
    if (team === 0) return;
    processes.use(0);
    // Whoever leaves last ends the process.
    processes.spaces.put(mm);
  }

  private teamOf(cpu: number): number {
    return Math.floor(cpu / this.threads);
  }

  /** A child for each further team, with a user for each of its CPUs. */
  private fork(): void {
    const { processes, memory, cpus } = this.kernel;
    const parent = memory.load(this.teams);
    for (let team = 1; team <= this.teamOf(cpus - 1); team++) {
      const child = processes.calls.fork(parent);
      if (child < 0) bug(`fork gives ${child}`);
      const users = Math.min(this.threads, cpus - team * this.threads);
      for (let user = 1; user < users; user++) processes.spaces.get(child);
      memory.store(this.teams + team, child);
    }
  }

  /** Each CPU begins elsewhere, some with the same page. */
  private writeAll(): void {
    const { kernel, pages, number } = this;
    const { cpu, paging } = kernel;
    const first = Math.floor(cpu.id / 2);
    for (let i = 0; i < pages; i++) {
      const page = (first + i) % pages;
      if (isLeftOut(page, cpu.id, number)) continue;
      paging.user.write(this.wordOf(page, cpu.id), wordValue(cpu.id, number));
    }
  }

  /** All CPUs' words of all pages. */
  private readAll(): number[] {
    const { cpus, paging } = this.kernel;
    const words: number[] = [];
    for (let page = 0; page < this.pages; page++)
      for (let cpu = 0; cpu < cpus; cpu++) words.push(paging.user.read(this.wordOf(page, cpu)));
    return words;
  }

  /** `before`: what a child has found first, while its CPUs began to write. */
  private compare(before: readonly number[], after: readonly number[]): void {
    const { kernel, team, number } = this;
    const { cpus } = kernel;
    for (const [i, found] of after.entries()) {
      const [page, writer] = [Math.floor(i / cpus), i % cpus];
      const writers = this.teamOf(writer);
      const where = `cpu ${kernel.cpu.id} of process ${team}: page ${page} has ${found} of cpu ${writer}`;
      const [old, now] = [number - 1, number].map((round) =>
        wordValue(writer, lastWritten(page, writer, round)),
      );
      if (writers === team) {
        const own = team === 0 || !isLeftOut(page, writer, number) ? now : 0;
        if (found !== own) bug(`${where}, which wrote ${own}`);
      } else if (writers !== 0) {
        if (found !== 0) bug(`${where}, which writes in another process`);
      } else {
        if (found !== before[i]) bug(`${where}, and had ${before[i]} before`);
        if (found !== old && (found !== now || writer === 0))
          bug(`${where}, where ${old} was, or ${now} came`);
      }
    }
  }

  private wordOf(page: number, cpu: number): number {
    return START + page * PAGE_BYTES + cpu * WORD_BYTES;
  }
}

const isLeftOut = (page: number, cpu: number, round: number): boolean => (page + cpu + round) % 3 === 0;
/** The last round, up to `round`, in which a CPU of the parent has written to a page; 0 for none. */
const lastWritten = (page: number, cpu: number, round: number): number =>
  isLeftOut(page, cpu, round) ? Math.max(0, round - 1) : round;
const wordValue = (cpu: number, round: number): number =>
  round === 0 ? 0 : ((round & 0x3f_ffff) << 8) | cpu;
