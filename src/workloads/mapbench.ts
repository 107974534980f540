/**
 * Three ways in which the CPUs of one address space share memory, and the TLB shootdowns that each costs.
 *
 *   local     each CPU maps a region far from the others', writes to it, and unmaps it
 *   pipeline  CPU i maps and writes to a region, CPU i + 1 reads it and unmaps it
 *   global    each CPU maps its part of one region, all write to every page, each unmaps its part
 *
 * After sv6's mapbench (Clements, Kaashoek, Zeldovich, "RadixVM: scalable address spaces for multithreaded applications",
 * EuroSys 2013).
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { PMD_BYTES } from "../mm/pgtable/address-range.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import {
  freeRings,
  nameRings,
  OwnBell,
  RING_SLOTS,
  RingReceiver,
  type RingRoom,
  RingSender,
  takeRings,
} from "./parts/object-ring.ts";
import { freeTally, nameTally, ShootdownTally, type TallyRoom, takeTally } from "./parts/shootdown-tally.ts";
import { UserProgram, VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import {
  endSpaces,
  makeSpaces,
  nameSpaces,
  pagesOption,
  requireRoom,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mapbench",
  summary: "CPUs map, use and unmap memory alone, one after the other or together (sv6 mapbench).",
  phases: ["map"],
  operation:
    "one page that a CPU maps, with all that is done to it until it is unmapped; regions are finished",
  options: {
    pattern: {
      type: "choice",
      default: "local",
      choices: ["local", "pipeline", "global"],
      help: "each CPU its own region; mapped here and unmapped by the next CPU; one region for all",
    },
    pages: pagesOption(16),
    ...VERIFY_OPTION,
  },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 2, options: { pattern: "global", pages: 1 } },
};

const START = 2 ** 40;
/** Regions of the pipeline that a CPU has under way; a power of 2, as the number of different stamps is. */
const DEPTH = 2;

interface Shared {
  readonly spaces: UserSpaces;
  readonly tally: TallyRoom;
  readonly rings: RingRoom;
}

/** One CPU's part of a run. */
interface Part {
  readonly kernel: Kernel;
  readonly program: UserProgram;
  readonly tally: ShootdownTally;
  readonly rings: RingRoom;
  readonly pages: number;
  readonly verifies: boolean;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  requireRoom(kernel, describe.name, options.pages as number, options.pattern === "pipeline" ? DEPTH : 1);
  const room = { tally: takeTally(kernel), rings: takeRings(kernel, kernel.cpus) };
  return { ...room, spaces: makeSpaces(kernel, {}) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  const { spaces, tally, rings } = shared as Shared;
  nameSpaces(kernel, spaces);
  nameTally(kernel, tally);
  nameRings(kernel, rings);
}

const LOOPS = { local, pipeline, global };

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { spaces, tally: room, rings } = shared as Shared;
  const program = new UserProgram(kernel, spaces);
  const tally = new ShootdownTally(kernel, room);
  const [pages, verifies] = [options.pages as number, options.verify === true];
  const loop = LOOPS[options.pattern as keyof typeof LOOPS];
  program.enter();
  let done = 0;
  kernel.phase("map", () => {
    done = loop({ kernel, program, tally, rings, pages, verifies });
    return done;
  });
  const metrics = tally.finish(done);
  program.leave();
  return metrics;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { spaces, tally, rings } = shared as Shared;
  endSpaces(kernel, spaces);
  freeRings(kernel, rings);
  freeTally(kernel, tally);
}

/** Regions that share no page table, and whose VMAs do not touch. */
function regionOf(pages: number, number: number): number {
  const apart = Math.ceil(((pages + 1) * PAGE_BYTES) / PMD_BYTES) * PMD_BYTES;
  return START + number * apart;
}

function local({ kernel, program, tally, pages, verifies }: Part): number {
  const start = regionOf(pages, kernel.cpu.id);
  let done = 0;
  while (kernel.more(done)) {
    program.map(pages, start);
    program.touch(start, pages);
    if (verifies) program.verify(start, pages, program.lastStamp);
    tally.timed(() => program.unmap(start, pages));
    done += pages;
    kernel.cpu.endOperation();
  }
  return done;
}

function pipeline({ kernel, program, tally, rings, pages, verifies }: Part): number {
  const { cpu, cpus } = kernel;
  const [next, previous] = [(cpu.id + 1) % cpus, (cpu.id + cpus - 1) % cpus];
  const bell = new OwnBell(kernel, rings);
  const out = new RingSender(kernel, rings, cpu.id, next);
  const incoming = new RingReceiver(kernel, rings, previous, previous);
  let regions = 0;
  let isSending = true;
  while (isSending || !incoming.isAtEnd) {
    const seen = bell.read();
    const hasRoom = isSending && out.room(RING_SLOTS - DEPTH + 1);
    if (isSending && !kernel.more(regions * pages)) {
      isSending = false;
      out.close();
    } else if (hasRoom) {
      regions++;
      const start = regionOf(pages, cpu.id * DEPTH + (regions % DEPTH));
      program.map(pages, start);
      program.touch(start, pages);
      out.put(program.lastStamp);
      out.send();
    }
    const count = incoming.waiting();
    for (let i = 0; i < count; i++) {
      const stamp = incoming.take();
      // A CPU's stamps count its regions.
      const start = regionOf(pages, previous * DEPTH + ((stamp >> 8) % DEPTH));
      readAll(kernel, program, start, pages, stamp, verifies);
      tally.timed(() => program.unmap(start, pages));
      incoming.release();
    }
    cpu.endOperation();
    if (!hasRoom && count === 0 && (isSending || !incoming.isAtEnd)) bell.waitPast(seen);
  }
  return regions * pages;
}

function readAll(
  kernel: Kernel,
  program: UserProgram,
  start: number,
  pages: number,
  stamp: number,
  verifies: boolean,
): void {
  if (verifies) {
    program.verify(start, pages, stamp);
    return;
  }
  const { user } = kernel.paging;
  for (let page = 0; page < pages; page++) user.read(start + page * PAGE_BYTES);
}

function global({ kernel, program, tally, pages, verifies }: Part): number {
  const { cpu, cpus } = kernel;
  const { user } = kernel.paging;
  const own = START + cpu.id * pages * PAGE_BYTES;
  /** Each CPU has a word of every page. */
  const wordOf = (page: number, id: number): number => START + page * PAGE_BYTES + id * WORD_BYTES;
  let done = 0;
  for (let round = 1; kernel.anotherRound(done); round++) {
    program.map(pages, own);
    kernel.gate();
    // Each begins with its own part, so that not all want one page first.
    for (let i = 0; i < cpus * pages; i++) {
      const page = (cpu.id * pages + i) % (cpus * pages);
      user.write(wordOf(page, cpu.id), round);
    }
    kernel.gate();
    if (verifies) {
      for (let page = cpu.id * pages; page < (cpu.id + 1) * pages; page++) {
        for (let id = 0; id < cpus; id++) {
          const found = user.read(wordOf(page, id));
          if (found !== round) bug(`page ${page} holds ${found} where cpu ${id} wrote ${round}`);
        }
      }
    }
    tally.timed(() => program.unmap(own, pages));
    done += pages;
    cpu.endOperation();
  }
  return done;
}
