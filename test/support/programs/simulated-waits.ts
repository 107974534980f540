/** Waits, wakes, interrupts and locks at simulated times: option `how` says which. */
import { Vector } from "../../../src/hardware/vectors.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Work } from "../../../src/memory/work.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";

const Offset = { WORD: 0, MET: 16, LOCK_A: 32, LOCK_B: 48, MUTEX: 64 } as const;
const EVERY_BIT = -1;

/** What a CPU saw: simulated times in ns. */
export interface Seen {
  readonly ok: boolean;
  readonly beganNs: number;
  readonly endedNs: number;
  /** When this CPU took an interrupt; 0 without. */
  readonly interruptNs: number;
}

export function setup(kernel: Kernel): Pointer {
  const data = kernel.pages.getZeroedPage(0);
  kernel.spin.format(data + Offset.LOCK_A, LockClass.TEST_A);
  kernel.spin.format(data + Offset.LOCK_B, LockClass.TEST_B);
  kernel.mutexes.format(data + Offset.MUTEX, LockClass.TEST_C);
  return data;
}

export function attach(kernel: Kernel): { atNs: number } {
  const interrupt = { atNs: 0 };
  kernel.cpu.onInterrupt(Vector.USER_0, () => {
    interrupt.atNs = kernel.cpu.nowNs();
  });
  return interrupt;
}

export function run(
  kernel: Kernel,
  options: ProgramOptions,
  data: Pointer,
  interrupt: { atNs: number },
): Seen {
  const { cpu } = kernel;
  kernel.gate();
  const beganNs = cpu.nowNs();
  const ok = part(kernel, options, data) ?? true;
  return { ok, beganNs, endedNs: cpu.nowNs(), interruptNs: interrupt.atNs };
}

function part(
  kernel: Kernel,
  { how, rounds = 0 }: { how?: unknown; rounds?: unknown },
  data: Pointer,
): boolean | undefined {
  const { cpu, memory } = kernel;
  switch (how) {
    case "timeout":
      return cpu.id === 0 ? memory.waitWhile(data, EVERY_BIT, 0, 5000) : undefined;
    case "wake":
      if (cpu.id > 0) return memory.waitWhile(data, EVERY_BIT, 0);
      memory.work(Work.COMPUTE, 20_000);
      return release(kernel, data);
    case "idle":
      if (cpu.id > 0) return memory.waitWhile(data, EVERY_BIT, 0);
      for (let i = 0; i < Number(rounds); i++) cpu.turn.relax();
      return release(kernel, data);
    case "ticks":
      while (cpu.nowNs() < 21e6) {
        memory.work(Work.COMPUTE, 10_000);
        cpu.endOperation();
      }
      return undefined;
    case "interrupt":
      if (cpu.id > 0) return memory.waitWhile(data, EVERY_BIT, 0);
      memory.work(Work.COMPUTE, 20_000);
      cpu.turn.raise(1, Vector.USER_0);
      memory.work(Work.COMPUTE, 20_000);
      return release(kernel, data);
    case "ab-ba":
      return crossLocks(kernel, data);
    case "mutex":
      return keepMutex(kernel, data);
    default:
      throw new Error(`simulated-waits knows no ${String(how)}`);
  }
}

function release({ memory }: Kernel, data: Pointer): undefined {
  memory.store(data + Offset.WORD, 1);
  memory.wake(data + Offset.WORD);
}

/** CPUs 0 and 1 take one lock each, and then the other's. */
function crossLocks(kernel: Kernel, data: Pointer): undefined {
  const { cpu, spin } = kernel;
  const [first, second] = cpu.id === 0 ? [Offset.LOCK_A, Offset.LOCK_B] : [Offset.LOCK_B, Offset.LOCK_A];
  spin.lock(data + first);
  meet(kernel, data);
  spin.lock(data + second);
}

/** CPU 0 waits for what never comes, and has the mutex that CPU 1 wants. */
function keepMutex(kernel: Kernel, data: Pointer): undefined {
  const { cpu, mutexes, memory } = kernel;
  if (cpu.id === 0) mutexes.lock(data + Offset.MUTEX);
  meet(kernel, data);
  if (cpu.id === 1) mutexes.lock(data + Offset.MUTEX);
  memory.waitWhile(data, EVERY_BIT, 0);
}

function meet({ memory }: Kernel, data: Pointer): void {
  memory.add(data + Offset.MET, 1);
  memory.wake(data + Offset.MET);
  memory.waitWhile(data + Offset.MET, EVERY_BIT, 1);
}
