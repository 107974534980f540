/** Two CPUs take pieces that lie in one page which is not populated: it gets one frame for each unit, not two. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import { PcpuChunk } from "../mm/percpu/pcpu-chunk.ts";
import { PcpuState } from "../mm/percpu/percpu-state.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "percpu-populate",
  summary: "CPUs take per-CPU pieces in a page that is not there yet; it gets its frames once",
  cpus: 2,
  memory: "8MiB",
  mutants: ["pcpu-populate-no-mutex"],
};

/** The second chunk's first pages, which are kept populated, and a part of the next. */
const LARGE_BYTES = 4 * PAGE_BYTES + 1024;
const SMALL_BYTES = 1024;

/** Fills the first chunk, so that the second one serves all. */
export function setup({ perCpu, perCpuChunks, memory }: Kernel): void {
  const first = perCpuChunks.base + PcpuState.first;
  for (const bytes of [PAGE_BYTES, 64, 4]) {
    while (memory.read(first + PcpuChunk.freeWords) * 4 >= bytes) {
      const piece = perCpu.alloc(bytes, 4);
      if (perCpuChunks.chunkOf(piece) === first) continue;
      perCpu.free(piece);
      break;
    }
  }
  perCpuChunks.balance();
}

export function run({ perCpu, cpu }: Kernel): void {
  const piece = perCpu.alloc(cpu.id === 0 ? LARGE_BYTES : SMALL_BYTES, 4);
  if (piece === 0) bug(`cpu ${cpu.id}: no per-CPU piece`);
  cpu.endOperation();
}

export function check({ perCpuChunks, memory }: Kernel): void {
  checkPerCpu(perCpuChunks, memory);
}
