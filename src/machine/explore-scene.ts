/**
 * Who runs, who waits for what, and who holds which lock, at the moment when an execution fails.
 *
 * Looks at the buffers directly: an access through `Memory` would be a step of the execution.
 */

import { CPU_STATE_WORDS, CpuState, PREEMPT_NESTING } from "../hardware/cpu-state.ts";
import { CpuControl, cpuControl } from "../memory/control.ts";
import type { Region } from "../memory/regions.ts";
import type { Layout } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { exploreCpu, exploreCpuBase, STATUS_NAMES } from "../schedule/explore/state.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";
import type { CpuThread } from "./attach.ts";
import { HOLDER_OF } from "./lock-holder.ts";

export interface CpuScene {
  readonly cpu: number;
  /** runnable, waiting, parked, ended */
  readonly status: string;
  /** The place it waits on, by struct and field; "" when it does not wait. */
  readonly waitsOn: string;
  /** The wait's condition in words. */
  readonly condition: string;
  /** CPU that holds the lock waited for; -1 when that is not known. */
  readonly holder: number;
  readonly irqsEnabled: boolean;
  readonly preemptCount: number;
  readonly inInterrupt: boolean;
  /** Pending interrupts, one bit a vector. */
  readonly pending: number;
}

export interface HeldLock {
  readonly name: string;
  readonly cpu: number;
}

export interface Scene {
  readonly cpus: readonly CpuScene[];
  readonly locks: readonly HeldLock[];
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** Names an address by region, struct and field as they are now. */
export function placeNamer({ kernel, machine }: CpuThread): (address: Pointer) => string {
  const ram = new Int32Array(machine.buffers.ram);
  const read = (address: Pointer): number => ram[address];
  return (address) => kernel.regions.describe(address, read);
}

export function lookAtCpus(thread: CpuThread): Scene {
  const { machine, kernel } = thread;
  const ram = new Int32Array(machine.buffers.ram);
  const cpus = Array.from({ length: machine.config.cpus }, (_, cpu) => lookAtCpu(thread, ram, cpu));
  return { cpus, locks: kernel.regions.all.flatMap((region) => heldLocks(region, ram)) };
}

/** The scene as text, a line a CPU and a line a held lock. */
export function formatScene(scene: Scene): string[] {
  const lines = scene.cpus.map((c) => {
    const waits =
      c.waitsOn === ""
        ? c.status
        : `${c.status} for ${c.waitsOn}, ${c.condition}${c.holder < 0 ? "" : `, held by cpu ${c.holder}`}`;
    const context = [
      c.irqsEnabled ? "" : "interrupts off",
      c.inInterrupt ? "in an interrupt" : "",
      c.preemptCount === 0 ? "" : `preempt_count ${c.preemptCount}`,
      c.pending === 0 ? "" : `interrupts pending ${hex(c.pending)}`,
    ].filter((text) => text !== "");
    return `cpu ${c.cpu}: ${[waits, ...context].join("; ")}`;
  });
  return [...lines, ...scene.locks.map((lock) => `cpu ${lock.cpu} holds ${lock.name}`)];
}

function lookAtCpu({ machine, control, kernel }: CpuThread, ram: Int32Array, cpu: number): CpuScene {
  const states = new Int32Array(machine.buffers.states);
  const at = cpuControl(cpu);
  const own = cpu * CPU_STATE_WORDS;
  const address = control[at + CpuControl.waitAddress];
  const waits = address !== 0;
  const lock = control[at + CpuControl.waitLock];
  const mask = control[at + CpuControl.waitMask];
  const value = control[at + CpuControl.waitValue];
  return {
    cpu,
    status: STATUS_NAMES[control[exploreCpuBase(cpu) + exploreCpu.status]] ?? "?",
    waitsOn: waits ? kernel.regions.describe(address, (a) => ram[a]) : "",
    condition: waits
      ? `while ${mask === -1 ? "it" : `it & ${hex(mask)}`} is ${hex(value)} (it is ${hex(ram[address])})`
      : "",
    holder: waits && lock !== 0 ? ram[lock + SpinLock.owner] - 1 : -1,
    irqsEnabled: states[own + CpuState.irqsEnabled] !== 0,
    preemptCount: states[own + CpuState.preemptCount] & PREEMPT_NESTING,
    inInterrupt: states[own + CpuState.hardirqCount] !== 0,
    pending: control[at + CpuControl.pending],
  };
}

/** The locks in a region that somebody holds. */
function heldLocks(region: Region, ram: Int32Array): HeldLock[] {
  const offsets = lockOffsets(region.layout, "");
  if (offsets.length === 0) return [];
  const held: HeldLock[] = [];
  for (let i = 0; i < region.count; i++) {
    for (const { kind, offset, path } of offsets) {
      const owner = HOLDER_OF[kind](ram, region.start + i * region.stride + offset);
      const where = region.count > 1 ? `${region.name}[${i}]` : region.name;
      if (owner !== 0) held.push({ name: `${where}${path}`, cpu: owner - 1 });
    }
  }
  return held;
}

interface LockPlace {
  readonly kind: string;
  readonly offset: number;
  readonly path: string;
}

/** Where in a struct there are locks. */
function lockOffsets(layout: Layout, path: string): LockPlace[] {
  const own = layout.name in HOLDER_OF ? [{ kind: layout.name, offset: 0, path }] : [];
  const within = layout.fields.flatMap((field) => {
    const inner = field.embedded;
    if (inner === null) return [];
    const count = Math.floor(field.words / inner.words);
    return Array.from({ length: count }, (_, i) => i).flatMap((i) =>
      lockOffsets(inner, `${path}.${field.name}${count > 1 ? `[${i}]` : ""}`).map((found) => ({
        ...found,
        offset: field.offset + i * inner.words + found.offset,
      })),
    );
  });
  return [...own, ...within];
}
