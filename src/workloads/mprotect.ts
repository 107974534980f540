/**
 * Every CPU takes the right to write to a region of its own away and gives it back (mprotect), while the CPU before it goes
 * on writing there: what that one is told must fit the rights, and what is read-only must not change.
 *
 * Each region has a word that counts its changes: even numbers are times of rest, writable at multiples of 4.  Who finds the
 * same number of rest before and after his access knows what it must have been.
 */

import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { Prot } from "../process/vm-flags.ts";
import type { WorkloadDescription } from "./description.ts";
import { type SpaceLoop, type SpacePart, spaceWorkload } from "./parts/space-workload.ts";
import { refusalOf } from "./parts/try-access.ts";
import { pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mprotect",
  summary: "Every CPU makes its region read-only and writable again while another writes; gives shootdowns.",
  phases: ["protect"],
  operation: "two mprotect calls, and two writes to another CPU's region",
  options: { pages: pagesOption(1) },
  explore: { operations: 2 },
};

const START = 2 ** 40;
const isRest = (state: number): boolean => state % 2 === 0;
const isWritable = (state: number): boolean => state % 4 === 0;

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  countsShootdowns: true,
  words: () => 1,
  begin: changesOfRights,
});

function changesOfRights(part: SpacePart): SpaceLoop {
  const { kernel, program, pages } = part;
  const { cpu, cpus } = kernel;
  // A page lies between regions: VMAs do not merge.
  const regionOf = (id: number): number => START + id * (pages + 1) * PAGE_BYTES;
  const own = new OwnRegion(part, regionOf(cpu.id));
  program.map(pages, regionOf(cpu.id));
  kernel.gate();
  const next = (cpu.id + 1) % cpus;
  const other = cpus === 1 ? null : new OtherRegion(part, regionOf(next), next);
  return {
    step: () => {
      own.write();
      own.protect(Prot.READ);
      other?.write();
      own.compare();
      own.protect(Prot.READ | Prot.WRITE);
      other?.write();
      return 1;
    },
    end: () => program.unmap(regionOf(cpu.id), pages),
  };
}

/** Of each page the first word is the owner's, and the second the writer's. */
class OwnRegion {
  private readonly part: SpacePart;
  private readonly start: number;
  private readonly state: number;
  private stamp = 0;

  constructor(part: SpacePart, start: number) {
    this.part = part;
    this.start = start;
    this.state = part.wordsOf(part.kernel.cpu.id);
  }

  write(): void {
    this.stamp++;
    this.eachPage((at) => this.part.kernel.paging.user.write(at, this.stamp));
  }

  protect(prot: number): void {
    const { kernel, program, pages, timed } = this.part;
    const { memory, processes } = kernel;
    memory.add(this.state, 1);
    timed(() => {
      const result = processes.calls.mprotect(program.mm, this.start, pages * PAGE_BYTES, prot);
      if (result !== 0) bug(`cpu ${kernel.cpu.id}: mprotect gives ${result}`);
    });
    memory.add(this.state, 1);
  }

  /** While nobody may write: nothing changes, not by the owner either. */
  compare(): void {
    const { program, kernel } = this.part;
    const { user } = kernel.paging;
    const found: number[] = [];
    this.eachPage((at) => found.push(user.read(at + WORD_BYTES)));
    this.eachPage((at) => {
      const refusal = refusalOf(() => user.write(at, -1));
      if (refusal !== "ACCERR")
        bug(`cpu ${kernel.cpu.id} writes to a read-only page at 0x${at.toString(16)}: ${refusal}`);
      program.expect(at, this.stamp);
    });
    let page = 0;
    this.eachPage((at) => program.expect(at + WORD_BYTES, found[page++]));
  }

  private eachPage(visit: (at: number) => void): void {
    const { pages } = this.part;
    for (let page = 0; page < pages; page++) visit(this.start + page * PAGE_BYTES);
  }
}

/** Another CPU's region, into which this one alone writes besides. */
class OtherRegion {
  private readonly part: SpacePart;
  private readonly start: number;
  private readonly state: number;
  /** What the last write has left in each page. */
  private readonly written: number[];

  constructor(part: SpacePart, start: number, owner: number) {
    this.part = part;
    this.start = start;
    this.state = part.wordsOf(owner);
    this.written = new Array<number>(part.pages).fill(0);
  }

  /** Tries to write to one page; finds there what was written last. */
  write(): void {
    const { kernel, program, pages } = this.part;
    const { memory, paging, cpu } = kernel;
    const page = cpu.random.below(pages);
    const at = this.start + page * PAGE_BYTES + WORD_BYTES;
    const before = memory.load(this.state);
    const value = this.written[page] + 1;
    const refusal = refusalOf(() => paging.user.write(at, value));
    const after = memory.load(this.state);
    if (refusal === null) this.written[page] = value;
    else if (refusal !== "ACCERR") bug(`cpu ${cpu.id}: a write to a page that is mapped gets ${refusal}`);
    if (before === after && isRest(before) && (refusal === null) !== isWritable(before))
      bug(
        `cpu ${cpu.id} writes to a page that is ${isWritable(before) ? "writable" : "read-only"}: ${refusal ?? "allowed"}`,
      );
    program.expect(at, this.written[page]);
  }
}
