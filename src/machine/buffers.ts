/**
 * The buffers that make a machine, and who finds what in them.
 */

import { cpuStatesBytes } from "../hardware/tlb-geometry.ts";
import { controlWords } from "../memory/control.ts";
import { TraceRing, traceWords } from "../memory/trace.ts";
import { createRam } from "../memory/wasm-atomics.ts";
import { planMemory } from "../mm/boot/mm-image.ts";
import { createExploreBuffers } from "../schedule/explore/buffers.ts";
import type { ResolvedConfig } from "./config.ts";
import type { Buffers, MachineParts } from "./task.ts";

/** Events a ring keeps: few for the hang report, many for a timeline. */
const RING_EVENTS = 256;
const TRACED_RING_EVENTS = 16384;

export function createBuffers(config: ResolvedConfig): Buffers {
  // RAM covers the holes of the physical map, and the windows above it; the host commits what is touched.
  const { ramBytes } = planMemory(config.topology);
  const statesBytes = cpuStatesBytes(config.cpus, config.shape.mode);
  const wasmRam = config.shape.mode === "parallel" ? createRam(ramBytes) : null;
  return {
    ram: wasmRam?.buffer ?? new SharedArrayBuffer(ramBytes),
    wasmRam,
    control: new SharedArrayBuffer(controlWords(config.cpus) * 4),
    states: new SharedArrayBuffer(statesBytes),
    trace: new SharedArrayBuffer(traceWords(config.cpus, ringEvents(config)) * 4),
    explore: config.shape.mode === "explore" ? createExploreBuffers(ramBytes, statesBytes) : null,
  };
}

/** The trace ring of `cpu`; `nowNs` is needed only by who records. */
export function ringOf(machine: MachineParts, cpu: number, nowNs: () => number = () => 0): TraceRing {
  return new TraceRing(machine.buffers.trace, { cpu, events: ringEvents(machine.config), nowNs });
}

function ringEvents(config: ResolvedConfig): number {
  return config.shape.trace ? TRACED_RING_EVENTS : RING_EVENTS;
}
