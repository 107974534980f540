/**
 * Replays the allocations of a recorded kernel: each recorded CPU's events run on one of ours in their order, and a free
 * waits until the allocation that it belongs to has been made, on whatever CPU.
 *
 * kmem:kmalloc and kfree become kmalloc and kfree, pages become pages, and objects of caches come from a cache for each
 * size, since a trace does not say at the allocation which cache it was.  Times are not replayed: every CPU goes as fast as
 * it can.  What the trace never frees is freed after each round.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug, UsageError } from "../memory/bug.ts";
import { FRAME_WORDS, frameOf, type Pointer } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { freeTable, nameTable, type TableFrames, takeTable } from "./parts/block-table.ts";
import { EVENT_WORDS, Kind, type KmemTrace, parseKmemTrace } from "./parts/kmem-trace.ts";
import { checkPagesBack, freeAndSlabPages, kmallocObjectsOut } from "./parts/pages-back.ts";
import { sampleTrace } from "./parts/sample-trace.ts";

export const describe: WorkloadDescription = {
  name: "replay-alloc",
  summary: "Replays a recorded trace of kmem events: kmalloc, caches and pages.",
  phases: ["replay"],
  operation: "one event: an allocation or a free",
  options: {
    trace: {
      type: "text",
      default: "sample",
      help: "file written by ftrace, trace-cmd report or perf script; sample: a small one that comes with it",
    },
  },
};

const SAMPLE = "sample";
/** Caches that one trace may need. */
const MAX_CACHES = 64;
/** In the table: an allocation that has failed. */
const FAILED = -1;

interface Shared {
  readonly trace: KmemTrace;
  /** One word an allocation: 0 not made yet, FAILED, or where it is. */
  readonly table: TableFrames;
  readonly caches: readonly Pointer[];
  readonly pages: number;
  readonly out: number;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const path = options.trace as string;
  const trace = parseKmemTrace(path === SAMPLE ? sampleTrace() : kernel.hostText(path), path);
  if (trace.cacheSizes.length > MAX_CACHES)
    throw new UsageError(
      `${path}: objects of ${trace.cacheSizes.length} sizes; at most ${MAX_CACHES} are possible`,
    );
  if (!kernel.heap.start()) bug("there is no memory for the caches of kmalloc");
  const pages = freeAndSlabPages(kernel);
  const out = kmallocObjectsOut(kernel);
  const caches = trace.cacheSizes.map((bytes) =>
    kernel.slabs.create({ name: `replay-${bytes}`, objectBytes: Math.max(1, bytes) }),
  );
  if (caches.includes(0)) bug("there is no memory for the caches of the trace");
  return { trace, caches, pages, out, table: takeTable(kernel, trace.allocations) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameTable(kernel, (shared as Shared).table);
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu } = kernel;
  const replay = new Replay(kernel, shared as Shared);
  let done = 0;
  do {
    kernel.phase("replay", () => replay.round());
    done += replay.own.length;
    kernel.gate();
    if (cpu.id === 0) replay.freeRest();
    kernel.gate();
  } while (kernel.anotherRound(done));
  return { metrics: replay.metrics() };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { caches, table, pages, out } = shared as Shared;
  freeTable(kernel, table);
  for (const cache of caches)
    if (!kernel.slabs.destroy(cache)) bug("a cache cannot be destroyed: some of its objects are still out");
  const found = kmallocObjectsOut(kernel);
  if (found !== out) bug(`${found} objects are out after the run, ${out} were before it`);
  checkPagesBack(kernel, pages);
}

/** One CPU's part of the trace. */
class Replay {
  /** Where this CPU's events begin in the list of all. */
  readonly own: number[] = [];
  private readonly kernel: Kernel;
  private readonly shared: Shared;
  private readonly cacheOf = new Map<number, Pointer>();
  /** Where in the list of all events each allocation was asked for. */
  private readonly asked: number[] = [];
  private failures = 0;
  private waits = 0;
  private replayed = 0;

  constructor(kernel: Kernel, shared: Shared) {
    const { events, cacheSizes } = shared.trace;
    this.kernel = kernel;
    this.shared = shared;
    for (const [i, bytes] of cacheSizes.entries()) this.cacheOf.set(bytes, shared.caches[i]);
    for (let at = 0; at < events.length; at += EVENT_WORDS) {
      if (events[at + 1] % kernel.cpus === kernel.cpu.id) this.own.push(at);
      if (events[at] !== Kind.FREE) this.asked[events[at + 2]] = at;
    }
  }

  /** All events of this CPU once; how many there were. */
  round(): number {
    const { events } = this.shared.trace;
    for (const at of this.own) {
      if (events[at] === Kind.FREE) this.free(events[at + 2]);
      else this.allocate(at);
      this.kernel.cpu.endOperation();
    }
    this.replayed += this.own.length;
    return this.own.length;
  }

  /** What the trace does not free; the table is as it was at the start. */
  freeRest(): void {
    const { allocations } = this.shared.trace;
    for (let allocation = 0; allocation < allocations; allocation++) {
      const word = this.wordOf(allocation);
      const place = this.kernel.memory.exchange(word, 0);
      if (place !== FAILED && place !== 0) this.giveBack(allocation, place);
    }
  }

  metrics(): MetricsValue["metrics"] {
    const { unmatched, lostFrees } = this.shared.trace;
    const isFirst = this.kernel.cpu.id === 0;
    const events = (value: number): { value: number; unit: string } => ({ value, unit: "events" });
    return {
      "replayed events": events(this.replayed),
      "failed allocations": events(this.failures),
      "frees that waited for another CPU": events(this.waits),
      ...(isFirst
        ? { "frees without an allocation": events(unmatched), "missing frees": events(lostFrees) }
        : {}),
    };
  }

  private allocate(at: number): void {
    const { memory } = this.kernel;
    const [allocation, place] = [this.shared.trace.events[at + 2], this.take(at)];
    if (place === 0) this.failures++;
    const word = this.wordOf(allocation);
    memory.store(word, place === 0 ? FAILED : place);
    memory.wake(word);
  }

  private take(at: number): Pointer {
    const { kernel } = this;
    const { events } = this.shared.trace;
    const [size, gfp] = [events[at + 3], events[at + 4]];
    switch (events[at]) {
      case Kind.KMALLOC:
        return kernel.heap.kmalloc(Math.max(1, size), gfp);
      case Kind.CACHE:
        return kernel.slabs.alloc(this.cacheOf.get(size) as Pointer, gfp);
      default:
        return kernel.pages.allocPages(gfp, size);
    }
  }

  private free(allocation: number): void {
    const { memory, cpu } = this.kernel;
    const word = this.wordOf(allocation);
    if (memory.load(word) === 0) {
      this.waits++;
      cpu.beforeSleep();
      memory.waitWhile(word, -1, 0);
    }
    const place = memory.exchange(word, FAILED);
    if (place !== FAILED) this.giveBack(allocation, place);
  }

  private giveBack(allocation: number, place: Pointer): void {
    const { heap, slabs, pages } = this.kernel;
    const { events } = this.shared.trace;
    const at = this.asked[allocation];
    if (events[at] === Kind.KMALLOC) heap.kfree(place);
    else if (events[at] === Kind.CACHE) slabs.free(this.cacheOf.get(events[at + 3]) as Pointer, place);
    else pages.freePages(place, events[at + 3]);
  }

  private wordOf(allocation: number): Pointer {
    return frameOf(this.shared.table[Math.floor(allocation / FRAME_WORDS)]) + (allocation % FRAME_WORDS);
  }
}
