/**
 * Tasks that wait for each other in the way option `form` names.  Each form conserves something, which `check` or the
 * program itself looks at.
 *   semaphore   `units` of them: never more tasks inside than units
 *   handoff     a bounded buffer over two semaphores: what goes in comes out, once
 *   condition   a bounded buffer over a mutex and two conditions
 *   queue       tokens in a word, taken under no lock, waited for on a wait queue (exclusive waiters)
 *   completion  CPUs in pairs, each completes the other's
 *   barrier     rounds: nobody is a round ahead, one leader a round
 *   once        cells that are initialised once, though the initialiser sometimes throws
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";

// Places in the frame, in words.
const LOCK = 0;
const FIRST = 32;
const SECOND = 64;
const COUNT = 96;
const FULL = 104;
const HEAD = 112;
const TAIL = 128;
const TOTAL = 144;
const SLOTS = 160;
const SUM = 192;
const CELLS = 256;
/** Of the buffers. */
const ROOM = 3;
const UNITS = 2;
const EACH = 32;

export function setup(kernel: Kernel, options: ProgramOptions): number {
  const at = kernel.pages.getZeroedPage(0) || fail("no page");
  const { semaphores, conditions, mutexes, waitQueues, barriers, completions, memory, cpus } = kernel;
  switch (options.form) {
    case "semaphore":
      semaphores.format(at + FIRST, UNITS);
      break;
    case "handoff":
      semaphores.format(at + FIRST, ROOM);
      semaphores.format(at + SECOND, 0);
      break;
    case "condition":
      mutexes.format(at + LOCK, LockClass.TEST_A);
      conditions.format(at + FIRST);
      conditions.format(at + SECOND);
      break;
    case "queue":
      waitQueues.format(at + FIRST);
      memory.store(at + COUNT, tokensOf(options));
      break;
    case "completion":
      for (let cpu = 0; cpu < cpus; cpu++) completions.format(at + CELLS + EACH * cpu);
      break;
    case "barrier":
      barriers.format(at + FIRST, cpus);
      break;
    default:
      break;
  }
  return at;
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const at = shared as number;
  const bodies: Record<string, (done: number) => number> = {
    semaphore: () => insideSemaphore(kernel, at),
    handoff: (done) => (isProducer(kernel) ? putHandoff(kernel, at, done) : takeHandoff(kernel, at)),
    condition: (done) => (isProducer(kernel) ? putCondition(kernel, at, done) : takeCondition(kernel, at)),
    queue: () => takeToken(kernel, at),
    completion: () => completePeer(kernel, at),
    barrier: (done) => meet(kernel, at, done),
    once: (done) => initialiseOnce(kernel, at, done),
  };
  const body = bodies[String(options.form)] ?? fail(`no form ${options.form}`);
  let sum = 0;
  const sections = Number(options.sections ?? Infinity);
  for (let done = 0; done < sections && kernel.more(done); done++) {
    sum += body(done);
    kernel.cpu.endOperation();
  }
  kernel.memory.add(at + SUM, sum);
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const at = shared as number;
  const { memory, semaphores, conditions, waitQueues, barriers, completions, cpus } = kernel;
  const total = memory.read(at + SUM);
  switch (options.form) {
    case "semaphore":
      semaphores.check(at + FIRST);
      expectEqual(memory.read(at + TOTAL), total, "entries");
      break;
    case "handoff":
    case "condition":
      expectEqual(total, 0, "what was put minus what was taken");
      expectEqual(memory.read(at + HEAD), memory.read(at + TAIL), "ends of the buffer");
      if (options.form === "condition") {
        conditions.check(at + FIRST);
        conditions.check(at + SECOND);
      } else {
        semaphores.check(at + FIRST);
        semaphores.check(at + SECOND);
      }
      break;
    case "queue":
      waitQueues.check(at + FIRST);
      expectEqual(memory.read(at + COUNT), tokensOf(options), "tokens");
      break;
    case "completion":
      for (let cpu = 0; cpu < cpus; cpu++)
        expectEqual(completions.isDone(at + CELLS + EACH * cpu) ? 1 : 0, 0, "completions left");
      break;
    case "barrier":
      barriers.check(at + FIRST);
      expectEqual(total, memory.read(at + FIRST + 2), "leaders");
      break;
    default:
      expectEqual(total, memory.read(at + TOTAL), "initialisers that returned");
  }
}

const tokensOf = (options: ProgramOptions): number => Number(options.tokens ?? UNITS);

function insideSemaphore({ semaphores, memory, cpu }: Kernel, at: number): number {
  semaphores.down(at + FIRST);
  const inside = memory.add(at + COUNT, 1) + 1;
  if (inside > UNITS) fail(`${inside} tasks hold ${UNITS} units`);
  memory.add(at + TOTAL, 1);
  cpu.turn.relax();
  memory.add(at + COUNT, -1);
  semaphores.up(at + FIRST);
  return 1;
}

const isProducer = ({ cpu }: Kernel): boolean => cpu.id % 2 === 0;

function putHandoff({ semaphores, memory, cpu }: Kernel, at: number, done: number): number {
  const value = cpu.id * 100_000 + done + 1;
  semaphores.down(at + FIRST);
  const inUse = memory.add(at + COUNT, 1) + 1;
  if (inUse > ROOM) fail(`${inUse} slots are in use, of ${ROOM}`);
  memory.add(at + HEAD, 1);
  // Whoever holds a unit finds a free slot, though not always in one round: the others' slots change places meanwhile.
  for (let slot = 0; memory.cas(at + SLOTS + slot, 0, value) !== 0; slot = (slot + 1) % ROOM)
    cpu.turn.relax();
  memory.add(at + FULL, 1);
  semaphores.up(at + SECOND);
  return value;
}

function takeHandoff({ semaphores, memory, cpu }: Kernel, at: number): number {
  semaphores.down(at + SECOND);
  if (memory.add(at + FULL, -1) <= 0) fail("a value is taken that nobody put");
  let value = 0;
  for (let slot = 0; ; slot = (slot + 1) % ROOM) {
    value = memory.exchange(at + SLOTS + slot, 0);
    if (value !== 0) break;
    cpu.turn.relax();
  }
  memory.add(at + TAIL, 1);
  memory.add(at + COUNT, -1);
  semaphores.up(at + FIRST);
  return -value;
}

function putCondition({ conditions, mutexes, memory, cpu }: Kernel, at: number, done: number): number {
  const value = cpu.id * 100_000 + done + 1;
  mutexes.lock(at + LOCK);
  while (memory.read(at + HEAD) - memory.read(at + TAIL) === ROOM) conditions.wait(at + FIRST, at + LOCK);
  const head = memory.read(at + HEAD);
  memory.write(at + SLOTS + (head % ROOM), value);
  memory.write(at + HEAD, head + 1);
  conditions.signal(at + SECOND);
  mutexes.unlock(at + LOCK);
  return value;
}

function takeCondition({ conditions, mutexes, memory }: Kernel, at: number): number {
  mutexes.lock(at + LOCK);
  while (memory.read(at + HEAD) === memory.read(at + TAIL)) conditions.wait(at + SECOND, at + LOCK);
  const tail = memory.read(at + TAIL);
  const value = memory.read(at + SLOTS + (tail % ROOM));
  memory.write(at + TAIL, tail + 1);
  conditions.signal(at + FIRST);
  mutexes.unlock(at + LOCK);
  return -value;
}

function takeToken({ waitQueues, memory }: Kernel, at: number): number {
  const tryTake = (): boolean => {
    for (let count = memory.load(at + COUNT); count > 0; ) {
      const found = memory.cas(at + COUNT, count, count - 1);
      if (found === count) return true;
      count = found;
    }
    return false;
  };
  waitQueues.waitEventExclusive(at + FIRST, tryTake);
  memory.add(at + COUNT, 1);
  waitQueues.wake(at + FIRST);
  return 1;
}

function completePeer({ completions, cpu, cpus }: Kernel, at: number): number {
  const peer = cpu.id ^ 1;
  if (peer >= cpus) return 0;
  completions.complete(at + CELLS + EACH * peer);
  completions.wait(at + CELLS + EACH * cpu.id);
  return 1;
}

function meet({ barriers, memory, cpus }: Kernel, at: number, done: number): number {
  memory.add(at + TOTAL, 1);
  const isLeader = barriers.wait(at + FIRST);
  const seen = memory.load(at + TOTAL);
  if (seen < cpus * (done + 1) || seen > cpus * (done + 2)) fail(`round ${done}: ${seen} arrivals`);
  return isLeader ? 1 : 0;
}

function initialiseOnce({ onces, memory, cpu }: Kernel, at: number, done: number): number {
  const cell = at + CELLS + 2 * (done % 256);
  try {
    const wasHere = onces.call(cell, () => {
      if (cpu.random.below(3) === 0) throw new RangeError("planted");
      memory.add(at + TOTAL, 1);
    });
    if (!onces.isDone(cell)) fail("a cell is not done after its call");
    return wasHere ? 1 : 0;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return 0;
  }
}

function expectEqual(found: number, expected: number, what: string): void {
  if (found !== expected) fail(`${what}: ${found}, expected ${expected}`);
}

function fail(message: string): never {
  throw new Error(message);
}
