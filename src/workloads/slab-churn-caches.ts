/**
 * Every CPU makes a cache, uses it and ends it, again and again, while all of them use one cache that stays.
 *
 * Half of a short-lived cache's objects are freed by the next CPU, which then has slabs of it on its partial list when
 * the end comes: the flush on all CPUs must find them.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import {
  CACHE_OPTIONS,
  createCache,
  endCache,
  makeCache,
  type ObjectCache,
  ObjectUser,
  STRESS_DEFAULTS,
} from "./parts/object-cache.ts";
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

export const describe: WorkloadDescription = {
  name: "slab-churn-caches",
  summary: "Every CPU makes caches, uses and ends them, while all use one that stays.",
  phases: ["churn"],
  operation: "one life of a cache",
  options: {
    ...CACHE_OPTIONS,
    objects: {
      type: "integer",
      default: 64,
      min: 1,
      max: RING_SLOTS,
      help: "objects that a cache lives for",
    },
    shrinks: { type: "integer", default: 10, min: 0, max: 100, help: "lives in 100 that see a shrink" },
  },
  stressDefaults: STRESS_DEFAULTS,
};

interface Shared extends ObjectCache {
  readonly room: RingRoom;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const made = makeCache(kernel, options, "slab-churn");
  return { ...made, room: takeRings(kernel, kernel.cpus) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameRings(kernel, (shared as Shared).room);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const churn = new CacheChurn(kernel, options, shared as Shared);
  kernel.phase("churn", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      churn.live();
      kernel.cpu.endOperation();
    }
    churn.finish();
    return done;
  });
  return churn.user.failed;
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  freeRings(kernel, (shared as Shared).room);
  endCache(kernel, options, values, shared);
}

class CacheChurn {
  readonly user: ObjectUser;
  private readonly kernel: Kernel;
  private readonly options: ProgramOptions;
  private readonly common: Pointer;
  private readonly bell: OwnBell;
  /** Pairs: a cache, and an object of it. */
  private readonly out: RingSender;
  private readonly incoming: RingReceiver;
  private readonly kept: Pointer[] = [];

  constructor(kernel: Kernel, options: ProgramOptions, { cache, room }: Shared) {
    const { cpu, cpus } = kernel;
    const [next, previous] = [(cpu.id + 1) % cpus, (cpu.id + cpus - 1) % cpus];
    this.kernel = kernel;
    this.options = options;
    this.common = cache;
    this.user = new ObjectUser(kernel, options);
    this.bell = new OwnBell(kernel, room);
    this.out = new RingSender(kernel, room, cpu.id, next);
    this.incoming = new RingReceiver(kernel, room, previous, previous);
  }

  /** One cache from its making to its end. */
  live(): void {
    const { kernel, user, out, kept } = this;
    const { cpu, slabs } = kernel;
    const cache = createCache(kernel, this.options, `churn-${cpu.id}`);
    if (cache === 0) return;
    const objects = this.options.objects as number;
    for (let i = 0; i < objects; i++) {
      const object = user.alloc(cache);
      if (object === 0) continue;
      if (i % 2 === 0 && out.room(2)) {
        out.put(cache);
        out.put(object);
      } else kept.push(object);
      this.useCommon();
      cpu.endOperation();
    }
    out.send();
    while (kept.length > 0) user.free(cache, kept.pop() as Pointer);
    if (cpu.random.below(100) < (this.options.shrinks as number)) slabs.shrink(cache);
    this.waitUntil(() => out.isEmpty);
    if (!slabs.destroy(cache)) bug(`cpu ${cpu.id}: its cache cannot be destroyed, all objects are back`);
  }

  /** Frees what the CPU before this one still sends. */
  finish(): void {
    this.out.close();
    this.waitUntil(() => this.incoming.isAtEnd);
  }

  private useCommon(): void {
    const object = this.user.alloc(this.common);
    if (object !== 0) this.user.free(this.common, object);
  }

  /** Frees what comes in, until `isOver`. */
  private waitUntil(isOver: () => boolean): void {
    for (;;) {
      const seen = this.bell.read();
      const count = this.incoming.waiting();
      for (let i = 0; i < count; i += 2) {
        const cache = this.incoming.take();
        this.user.free(cache, this.incoming.take());
      }
      if (count > 0) this.incoming.release();
      if (isOver()) return;
      if (count === 0) this.bell.waitPast(seen);
    }
  }
}
