/**
 * One CPU gives back the empty pages of a chunk that is hardly used, another takes a piece that only this chunk could
 * serve, and may not wait: it gets none, or one whose pages stay.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import type { PerCpuPointer } from "../sync/percpu.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "percpu-reclaim",
  summary: "empty pages of a per-CPU chunk are given back while a CPU that cannot wait takes a piece",
  cpus: 2,
  memory: "8MiB",
  mutants: ["pcpu-reclaim-listed"],
};

/** Longer than any populated run of the other chunks. */
const BYTES = 5 * PAGE_BYTES;

/** Fills two chunks, and frees much of the first in short runs; the pieces that are to be freed of the second. */
export function setup({ perCpu, perCpuChunks }: Kernel): readonly PerCpuPointer[] {
  const { window } = perCpuChunks;
  const pages: PerCpuPointer[] = [];
  for (let piece = perCpu.alloc(PAGE_BYTES); window.areaOf(piece) < 2; piece = perCpu.alloc(PAGE_BYTES))
    pages.push(piece);
  const inArea = (area: number): PerCpuPointer[] => pages.filter((piece) => window.areaOf(piece) === area);
  for (const [i, piece] of inArea(0).entries()) if (i % 4 !== 3) perCpu.free(piece);
  return inArea(1).slice(0, 6);
}

export function run(
  { perCpu, perCpuChunks, cpu, memory }: Kernel,
  _options: object,
  pieces: readonly PerCpuPointer[],
): void {
  const irqs = cpu.irqSave();
  if (cpu.id === 0) {
    for (const piece of pieces) perCpu.free(piece);
    cpu.irqRestore(irqs);
    perCpuChunks.flushBalance();
  } else {
    const piece = perCpu.alloc(BYTES, 4, Gfp.NOWAIT);
    cpu.irqRestore(irqs);
    if (piece !== 0) {
      memory.store(piece, 7);
      cpu.endOperation();
      const seen = memory.load(piece);
      if (seen !== 7) bug(`the piece at word ${piece} holds ${seen}, 7 was written`);
    }
  }
  cpu.endOperation();
}

export function check({ perCpuChunks, memory }: Kernel): void {
  checkPerCpu(perCpuChunks, memory);
}
