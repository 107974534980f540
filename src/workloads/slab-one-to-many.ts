/**
 * CPU 0 allocates, all others free: a producer of packets or requests with many consumers.  Every slab is CPU 0's, and
 * every free comes from elsewhere.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import {
  CACHE_OPTIONS,
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
  name: "slab-one-to-many",
  summary: "CPU 0 allocates objects, all other CPUs free them.",
  phases: ["pass"],
  operation: "one object allocated on CPU 0 and freed elsewhere; CPU 0 itself counts none",
  options: {
    ...CACHE_OPTIONS,
    batch: { type: "integer", default: 32, min: 1, max: RING_SLOTS, help: "objects handed over at a time" },
  },
  stressDefaults: STRESS_DEFAULTS,
  minCpus: 2,
};

interface Shared extends ObjectCache {
  readonly room: RingRoom;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const made = makeCache(kernel, options, "slab-one-to-many");
  return { ...made, room: takeRings(kernel, kernel.cpus - 1) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameRings(kernel, (shared as Shared).room);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const user = new ObjectUser(kernel, options);
  const body = kernel.cpu.id === 0 ? produce : consume;
  kernel.phase("pass", () => body(kernel, options, shared as Shared, user));
  return user.failed;
}

/** Batches for all others in turn; who is full is left out until it has taken some.  `limit` of them for each. */
function produce(kernel: Kernel, options: ProgramOptions, shared: Shared, user: ObjectUser): number {
  const { cpu, cpus } = kernel;
  const { cache, room } = shared;
  const bell = new OwnBell(kernel, room);
  const outs = Array.from({ length: cpus - 1 }, (_, i) => new RingSender(kernel, room, i, i + 1));
  const limit = kernel.operationLimit * outs.length;
  for (let sent = 0, next = 0, refused = 0, seen = bell.read(); kernel.more(sent / outs.length); ) {
    const batch = Math.min(options.batch as number, limit - sent);
    const out = outs[next];
    next = (next + 1) % outs.length;
    if (out.room(batch)) {
      for (let i = 0; i < batch; i++) {
        const object = user.alloc(cache);
        if (object !== 0) out.put(object);
        cpu.endOperation();
      }
      out.send();
      sent += batch;
      refused = 0;
    } else if (++refused === outs.length) {
      bell.waitPast(seen);
      refused = 0;
    }
    if (refused === 0) seen = bell.read();
  }
  for (const out of outs) out.close();
  return 0;
}

function consume(
  kernel: Kernel,
  _options: ProgramOptions,
  { cache, room }: Shared,
  user: ObjectUser,
): number {
  const { cpu } = kernel;
  const bell = new OwnBell(kernel, room);
  const incoming = new RingReceiver(kernel, room, cpu.id - 1, 0);
  let freed = 0;
  while (!incoming.isAtEnd) {
    const seen = bell.read();
    const count = incoming.waiting();
    for (let i = 0; i < count; i++) {
      user.free(cache, incoming.take());
      cpu.endOperation();
    }
    freed += count;
    if (count > 0) incoming.release();
    else if (!incoming.isAtEnd) bell.waitPast(seen);
  }
  return freed;
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
