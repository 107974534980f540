/** CPUs take and free per-CPU pieces of one chunk: its maps, hints and lists must agree, and no piece may be given twice. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import type { PerCpuPointer } from "../sync/percpu.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "percpu-free",
  summary: "CPUs take and free per-CPU pieces of one chunk; the maps stay true, no piece is given twice",
  cpus: 2,
  memory: "2MiB",
  mutants: ["pcpu-unlocked-free"],
};

const EACH = 2;
const BYTES = 16;

interface Shared {
  readonly pieces: readonly PerCpuPointer[];
  readonly out: number;
}

export function setup({ perCpu, cpus }: Kernel): Shared {
  const { current } = perCpu.stats();
  return { pieces: Array.from({ length: EACH * cpus }, () => perCpu.alloc(BYTES)), out: current };
}

export function run({ perCpu, cpu, cpus, memory }: Kernel, _options: object, { pieces }: Shared): void {
  for (let i = 0; i < EACH; i++) perCpu.free(pieces[i * cpus + cpu.id]);
  const piece = perCpu.alloc(BYTES, 8, Gfp.NOWAIT);
  if (piece === 0) bug(`cpu ${cpu.id}: no per-CPU piece of ${BYTES} bytes`);
  memory.store(piece, cpu.id + 1);
  cpu.endOperation();
  const seen = memory.load(piece);
  if (seen !== cpu.id + 1) bug(`cpu ${cpu.id}: its piece holds ${seen}`);
  perCpu.free(piece);
  cpu.endOperation();
}

export function check(
  { perCpu, perCpuChunks, memory }: Kernel,
  _o: object,
  _v: unknown,
  shared: Shared,
): void {
  checkPerCpu(perCpuChunks, memory);
  const { current } = perCpu.stats();
  if (current !== shared.out) bug(`${current} pieces are out, ${shared.out} were at the start`);
}
