/** CPUs take blocks of a DMA pool and put them back: none is given twice, and the pool knows how many are out. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { DmaPool, type DmaPoolRef } from "../mm/slab/dma-pool.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "dma-pool",
  summary: "CPUs take blocks of a DMA pool and put them back; none is given twice, none is lost",
  cpus: 2,
  mutants: ["dma-pool-free-unlocked"],
};

/** Two blocks a page. */
const BLOCK_BYTES = 2048;
/** A block's word that is neither its link nor its address. */
const OWNER = 8;

interface Shared {
  readonly pool: DmaPoolRef;
}

export function setup({ dmaPools }: Kernel): Shared {
  const pool = dmaPools.create({ name: "scenario", bytes: BLOCK_BYTES });
  const block = pool === 0 ? null : dmaPools.alloc(pool, Gfp.KERNEL);
  if (block === null) return bug("no memory for a DMA pool");
  dmaPools.free(pool, block);
  return { pool };
}

/** Names the pool's words, for reports. */
export function attach({ regions }: Kernel, _options: object, { pool }: Shared): void {
  regions.add("dma_pool", pool, DmaPool);
}

export function run({ dmaPools, memory, cpu }: Kernel, _options: object, { pool }: Shared): void {
  for (let round = 0; round < 2; round++) {
    const block = dmaPools.alloc(pool, Gfp.KERNEL);
    if (block === null) return;
    const other = memory.exchange(block.at + OWNER, cpu.id + 1);
    if (other !== 0) bug(`cpu ${cpu.id} was given the block at word ${block.at}, which cpu ${other - 1} has`);
    memory.store(block.at + OWNER, 0);
    dmaPools.free(pool, block);
  }
}

export function check({ dmaPools }: Kernel, _options: object, _values: unknown, { pool }: Shared): void {
  const active = dmaPools.check(pool);
  if (active !== 0) bug(`${active} blocks are out, all were put back`);
}
