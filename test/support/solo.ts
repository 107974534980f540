/**
 * One simulated CPU on the test's own thread: the real turn, memory and CPU over fresh buffers.  For unit tests of code
 * that never really waits.
 */

import { Cpu } from "../../src/hardware/cpu.ts";
import { cpuStatesBytes } from "../../src/hardware/tlb-geometry.ts";
import { controlWords } from "../../src/memory/control.ts";
import { PlainMemory } from "../../src/memory/plain-memory.ts";
import { shape } from "../../src/memory/shape.ts";
import { TraceRing, traceWords } from "../../src/memory/trace.ts";
import { createRam } from "../../src/memory/wasm-atomics.ts";
import { hostMoment } from "../../src/schedule/host-clock.ts";
import { ParallelTurn } from "../../src/schedule/parallel.ts";

/**
 * The clock of these CPUs is not the host's, which would have a test's outcome depend on what else the host does: each
 * look at it is a microsecond.
 */
const STEP_NS = 1000;

export interface Solo {
  readonly cpu: Cpu;
  readonly memory: PlainMemory;
  readonly control: Int32Array;
  /** The other CPUs of the same buffers, CPU 0 first: for tests that act as several CPUs in turn. */
  readonly all: readonly Cpu[];
}

/** `cpus` CPUs over `bytes` of RAM, all driven by this thread; CPU 0 runs. */
export function soloCpu(options: { bytes?: number; cpus?: number; seed?: number } = {}): Solo {
  const { bytes = 1 << 20, cpus = 1, seed = 1 } = options;
  const control = new Int32Array(new SharedArrayBuffer(controlWords(cpus) * 4));
  const ram = createRam(bytes);
  const states = new SharedArrayBuffer(cpuStatesBytes(cpus, shape.mode));
  const rings = new SharedArrayBuffer(traceWords(cpus, 64) * 4);
  const origin = hostMoment();
  ParallelTurn.format(control, cpus, cpus);
  const memories: PlainMemory[] = [];
  const all: Cpu[] = [];
  let nowNs = 0;
  const clock = (): number => {
    nowNs += STEP_NS;
    return nowNs;
  };
  for (let id = 0; id < cpus; id++) {
    const turn = new ParallelTurn({ control, cpu: id, cpus, tokens: cpus, origin });
    turn.nowNs = clock;
    const memory = new PlainMemory({ ram, control, cpu: id, cpus, turn });
    const trace = new TraceRing(rings, { cpu: id, events: 64, nowNs: () => turn.nowNs() });
    const cpu = new Cpu({ id, cpus, memory, turn, control, states, trace });
    turn.attach(cpu);
    cpu.reset(seed);
    turn.enter();
    memories.push(memory);
    all.push(cpu);
  }
  return { cpu: all[0], memory: memories[0], control, all };
}
