/** A stress workload with a planted defect on CPU 1 (option `how`), to see that it is noticed. */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import * as ipi from "../../../src/workloads/ipi-stress.ts";
import * as lock from "../../../src/workloads/lock-stress.ts";
import * as percpu from "../../../src/workloads/percpu-stress.ts";

const EVERY = 100;

interface Defect {
  readonly workload: {
    setup(kernel: Kernel, options: ProgramOptions): unknown;
    run(kernel: Kernel, options: ProgramOptions, shared: unknown): unknown;
    check(kernel: Kernel, options: ProgramOptions, values: readonly unknown[], shared: unknown): void;
  };
  readonly options: ProgramOptions;
  plant(kernel: Kernel): void;
}

const DEFECTS: Record<string, Defect> = {
  "lost-call": {
    workload: ipi,
    options: { broadcasts: 100, waits: 0.5 },
    plant({ calls }) {
      const single = calls.single.bind(calls);
      let count = 0;
      calls.single = (target, id, argument, wait) =>
        ++count % EVERY === 0 ? 0 : single(target, id, argument, wait);
    },
  },
  unlocked: {
    workload: lock,
    options: { locks: 1, hold: 50_000, interrupts: 0 },
    plant({ mutexes }) {
      mutexes.lock = () => {};
      mutexes.tryLock = () => true;
      mutexes.unlock = () => {};
    },
  },
  overlap: {
    workload: percpu,
    options: { pieces: 24, size: 64 },
    plant({ perCpu }) {
      const alloc = perCpu.alloc.bind(perCpu);
      let last = 0;
      let count = 0;
      perCpu.alloc = (bytes, align) => {
        if (++count % EVERY === 0 && last !== 0) return last;
        last = alloc(bytes, align);
        return last;
      };
    },
  },
  leak: {
    workload: percpu,
    options: { pieces: 24, size: 64 },
    plant({ perCpu }) {
      const free = perCpu.free.bind(perCpu);
      let count = 0;
      perCpu.free = (piece) => {
        if (++count !== EVERY) free(piece);
      };
    },
  },
};

const defectOf = (options: ProgramOptions): Defect => DEFECTS[options.how as string];

export function setup(kernel: Kernel, options: ProgramOptions): unknown {
  const { workload, options: own } = defectOf(options);
  return workload.setup(kernel, own);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): unknown {
  const { workload, options: own, plant } = defectOf(options);
  if (kernel.cpu.id === 1) plant(kernel);
  return workload.run(kernel, own, shared);
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { workload, options: own } = defectOf(options);
  workload.check(kernel, own, values, shared);
}
