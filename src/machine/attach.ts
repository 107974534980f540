/**
 * Puts a CPU's thread together: memory, turn, CPU and kernel over the machine's buffers.
 *
 * The memory class is chosen by the shape, so that a worker loads one class only; it does so as its thread starts, since
 * threads start side by side and attach one after the other.
 */

import { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import { CpuControl, cpuControl } from "../memory/control.ts";

import type { Memory } from "../memory/memory.ts";
import { type Mode, shape } from "../memory/shape.ts";
import type { Turn } from "../memory/turn.ts";
import type { RamMemory } from "../memory/wasm-atomics.ts";
import type { ExploreThread } from "../schedule/explore/create.ts";
import type { ExploreBuffers } from "../schedule/explore/state.ts";
import type { HostMoment } from "../schedule/host-clock.ts";
import type { VirtualParts } from "../schedule/virtual/create.ts";
import type { WordCount } from "../schedule/virtual/line-stats.ts";
import { attachKernel, bootKernel } from "./boot.ts";
import { ringOf } from "./buffers.ts";
import { hostThreadId } from "./host-thread.ts";
import type { Kernel } from "./kernel.ts";
import type { MachineParts } from "./task.ts";

/** The scheduler side of a CPU's thread, beyond the `Turn` that the kernel sees. */
export interface ThreadTurn extends Turn {
  attach(cpu: Cpu): void;
  /** Takes part in a run of `parties` CPUs; may wait for its turn. */
  enter(parties: number): void;
  leave(): void;
}

export interface CpuThread {
  readonly explore: ExploreThread | null;
  readonly kernel: Kernel;
  readonly turn: ThreadTurn;
  readonly memory: Memory;
  readonly control: Int32Array;
  /** Transfers of cache lines since the last call; null when nobody counts them. */
  readonly takeLineCounts: () => WordCount[] | null;
  readonly machine: MachineParts;
  /** The boot CPU's log; empty elsewhere. */
  readonly bootLog: readonly string[];
  /** What the program's `attach` returned here. */
  local: unknown;
}

/** Builds the thread of `cpu`; on the boot CPU the machine is formatted, elsewhere attached to. */
export function attachCpu(machine: MachineParts, cpu: number, boots: boolean): CpuThread {
  const { config, buffers, origin } = machine;
  const control = new Int32Array(buffers.control);
  const parts = {
    ...buffers,
    control,
    virtual: machine.virtual,
    cpu,
    cpus: config.cpus,
    tokens: config.tokens,
    origin,
  };
  const { turn, memory, explore, takeLineCounts } = createTurnAndMemory(parts);
  const trace = ringOf(machine, cpu, () => turn.nowNs());
  const processor = new Cpu({
    id: cpu,
    cpus: config.cpus,
    memory,
    turn,
    control,
    states: buffers.states,
    trace,
  });
  turn.attach(processor);
  processor.reset(config.seed);
  control[cpuControl(cpu) + CpuControl.threadId] = hostThreadId();
  const bootParts = { cpu: processor, memory, control, config };
  turn.enter(1);
  try {
    const { kernel, log } = boots ? bootKernel(bootParts) : { kernel: attachKernel(bootParts), log: [] };
    return { kernel, turn, memory, control, machine, explore, takeLineCounts, bootLog: log, local: null };
  } finally {
    turn.leave();
  }
}

interface TurnParts {
  readonly virtual: VirtualParts | null;
  readonly explore: ExploreBuffers | null;
  readonly ram: SharedArrayBuffer;
  readonly wasmRam: RamMemory | null;
  readonly states: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly cpu: number;
  readonly cpus: number;
  readonly tokens: number;
  readonly origin: HostMoment;
}

type TurnAndMemory = Pick<CpuThread, "turn" | "memory" | "explore" | "takeLineCounts">;

const countsNoLines = (): null => null;

/** What this thread's mode builds: chosen while the thread loads its modules. */
const createTurnAndMemory = await creatorOf(shape.mode);

async function creatorOf(mode: Mode): Promise<(parts: TurnParts) => TurnAndMemory> {
  if (mode === "explore") {
    const { createExplore } = await import("../schedule/explore/create.ts");
    return (parts) => {
      const explore = createExplore(parts);
      return { turn: explore.turn, memory: explore.memory, explore, takeLineCounts: countsNoLines };
    };
  }
  if (mode === "virtual") {
    const { createVirtual } = await import("../schedule/virtual/create.ts");
    return (parts) => {
      const { turn, memory } = createVirtual(parts);
      return { turn, memory, explore: null, takeLineCounts: () => memory.takeLineCounts() };
    };
  }
  const { ParallelTurn } = await import("../schedule/parallel.ts");
  const { PlainMemory } = await import("../memory/plain-memory.ts");
  return (parts) => {
    const turn = new ParallelTurn(parts);
    const ram = parts.wasmRam ?? bug("a parallel machine has no WebAssembly memory");
    const memory = new PlainMemory({ ...parts, ram, turn });
    return { turn, memory, explore: null, takeLineCounts: countsNoLines };
  };
}
