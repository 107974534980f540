/**
 * Profiles of machines without a published curve: what was measured of each, completed by the fit of the default one.
 *
 * A core of these machines overlaps the same share of a miss as that of the fitted one; instructions cost the same
 * cycles; what is outside the core (memory, interrupts) takes the same time.
 */

import type { Profile } from "../../src/schedule/virtual/profile.ts";

/** The figures that were measured or published of one machine; sources are in the notes of its profile.  ns. */
export interface Measured {
  /** One way between two cores, as core-to-core-latency measures it. */
  readonly clusterNs: number;
  readonly socketNs: number;
  readonly nodesNs: readonly { readonly distance: number; readonly ns: number }[];
  /** Latency of memory of the own node, and how many times that of others is. */
  readonly memoryNs: number;
  readonly memoryTimes: readonly { readonly distance: number; readonly times: number }[];
  /** Cycles of one step of a spin loop; left out: as the fitted one. */
  readonly pause?: number;
}

/** Idle latency of the fitted machine's memory, as Memory Latency Checker gives it for its kind. */
const FITTED_MEMORY_NS = 81;

const MILAN_SOCKETS = { distance: 32, ns: 197 };
const MILAN_MEMORY = { distance: 32, times: 1.9 };

export const MEASURED: Readonly<Record<string, Measured>> = {
  "xeon-8375c-2s": {
    clusterNs: 51,
    socketNs: 51,
    nodesNs: [{ distance: 21, ns: 108 }],
    memoryNs: 81,
    memoryTimes: [{ distance: 21, times: 1.61 }],
  },
  "epyc-7763-2s-nps4": {
    clusterNs: 23,
    socketNs: 90,
    nodesNs: [{ distance: 12, ns: 107 }, MILAN_SOCKETS],
    memoryNs: 113,
    memoryTimes: [{ distance: 12, times: 1.11 }, MILAN_MEMORY],
    pause: 65,
  },
  "ryzen-5950x": {
    clusterNs: 17,
    socketNs: 85,
    nodesNs: [{ ...MILAN_SOCKETS, distance: 20 }],
    memoryNs: 80,
    memoryTimes: [{ ...MILAN_MEMORY, distance: 20 }],
    pause: 65,
  },
};

/** `profile` with every figure that follows from the fitted one and from what was measured. */
export function derivedProfile(profile: Profile, fitted: Profile, measured: Measured): Profile {
  const { clockGHz } = profile;
  const { access, upgrade } = fitted;
  const plainShare = fitted.transfer.socket.plain / fitted.transfer.socket.marked;
  const transfer = (ns: number): { plain: number; marked: number } => {
    // The measurement contains the answer, which upgrades the line that was just read.
    const marked = ns * clockGHz - upgrade.plain;
    return { plain: rounded(Math.max(access.hit, marked * plainShare)), marked: rounded(marked) };
  };
  const times = clockGHz / fitted.clockGHz;
  const local = (fitted.memory.local / FITTED_MEMORY_NS) * measured.memoryNs * times;
  const stream = fitted.memory.stream * times;
  const { send, deliver, entry, acknowledge } = fitted.interrupt;
  return {
    ...profile,
    access: { ...access, pause: measured.pause ?? access.pause },
    upgrade,
    transfer: {
      cluster: transfer(measured.clusterNs),
      socket: transfer(measured.socketNs),
      nodes: measured.nodesNs.map(({ distance, ns }) => ({ distance, ...transfer(ns) })),
    },
    memory: {
      local: rounded(local),
      marked: rounded((local * fitted.memory.marked) / fitted.memory.local),
      stream: rounded(stream),
      streamWindowLines: fitted.memory.streamWindowLines,
      nodes: measured.memoryTimes.map(({ distance, times: farther }) => ({
        distance,
        miss: rounded(local * farther),
        stream: rounded(stream * farther),
      })),
    },
    cacheLines: fitted.cacheLines,
    interrupt: {
      send: rounded(send * times),
      deliver: rounded(deliver * times),
      entry: rounded(entry * times),
      acknowledge: rounded(acknowledge * times),
    },
    work: fitted.work,
  };
}

/** To a tenth of a cycle below 10, else to a cycle. */
const rounded = (cycles: number): number => (cycles < 10 ? Math.round(cycles * 10) / 10 : Math.round(cycles));
