/**
 * A ring of CPUs: each allocates objects and hands them to the next one, which frees them.  No free finds its object's
 * slab on its own CPU.
 *
 * Objects travel in batches, so that their way costs little beside the frees.
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
  name: "slab-remote",
  summary: "A ring of CPUs: each allocates objects, the next one frees them.",
  phases: ["remote"],
  operation: "one object allocated here and freed on the next CPU; on one CPU alone, by itself",
  options: {
    ...CACHE_OPTIONS,
    batch: { type: "integer", default: 32, min: 1, max: RING_SLOTS, help: "objects handed over at a time" },
  },
  stressDefaults: STRESS_DEFAULTS,
};

interface Shared extends ObjectCache {
  readonly room: RingRoom;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const made = makeCache(kernel, options, "slab-remote");
  return { ...made, room: takeRings(kernel, kernel.cpus) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameRings(kernel, (shared as Shared).room);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu, cpus } = kernel;
  const { cache, room } = shared as Shared;
  const [next, previous] = [(cpu.id + 1) % cpus, (cpu.id + cpus - 1) % cpus];
  const user = new ObjectUser(kernel, options);
  const bell = new OwnBell(kernel, room);
  const out = new RingSender(kernel, room, cpu.id, next);
  const incoming = new RingReceiver(kernel, room, previous, previous);

  const sendSome = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const object = user.alloc(cache);
      if (object !== 0) out.put(object);
      cpu.endOperation();
    }
    out.send();
  };
  const freeSome = (count: number): void => {
    for (let i = 0; i < count; i++) {
      user.free(cache, incoming.take());
      cpu.endOperation();
    }
    if (count > 0) incoming.release();
  };

  kernel.phase("remote", () => {
    let [sent, freed] = [0, 0];
    let isSending = true;
    while (isSending || !incoming.isAtEnd) {
      const seen = bell.read();
      const batch = Math.min(options.batch as number, kernel.operationLimit - sent);
      const hasRoom = isSending && out.room(batch);
      if (isSending && !kernel.more(sent)) {
        isSending = false;
        out.close();
      } else if (hasRoom) {
        sendSome(batch);
        sent += batch;
      }
      const count = incoming.waiting();
      freeSome(count);
      freed += count;
      if (!hasRoom && count === 0 && (isSending || !incoming.isAtEnd)) bell.waitPast(seen);
    }
    return freed;
  });
  return user.failed;
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
