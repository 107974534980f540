/**
 * More CPUs than a pool has elements, and an allocator that fails always: each CPU holds an element for a while, stamped,
 * and all must get through all their rounds.  The same with a DMA pool, whose blocks are handed on.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";

const RESERVE = 2;
const STAMP = 5;

interface Shared {
  readonly cache: number;
  readonly slabPool: number;
  readonly kmallocPool: number;
  readonly dmaPool: number;
}

export function setup({ mempools, dmaPools, slabs, heap, failslab }: Kernel): Shared {
  failslab.set({});
  heap.start();
  const cache = slabs.create({ name: "bios", objectBytes: 200 });
  const shared = {
    cache,
    slabPool: mempools.createSlabPool(RESERVE, cache),
    kmallocPool: mempools.createKmallocPool(RESERVE, 96),
    dmaPool: dmaPools.create({ name: "blocks", bytes: 256 }),
  };
  const block = dmaPools.alloc(shared.dmaPool, Gfp.KERNEL);
  if (block !== null) dmaPools.free(shared.dmaPool, block);
  // No memory from here on, for nobody.
  failslab.set({ probability: 100, times: -1, ignoreGfpReclaim: false });
  return shared;
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, memory, mempools, dmaPools, heap } = kernel;
  const { slabPool, kmallocPool, dmaPool } = shared as Shared;
  const use = (at: number): void => {
    const before = memory.exchange(at + STAMP, cpu.id + 1);
    if (before !== 0) throw new Error(`cpu ${cpu.id} was given word ${at}, which cpu ${before - 1} has`);
    cpu.endOperation();
    const after = memory.exchange(at + STAMP, 0);
    if (after !== cpu.id + 1) throw new Error(`cpu ${cpu.id}: word ${at} was overwritten by ${after}`);
  };
  let rounds = 0;
  for (; kernel.more(rounds); rounds++) {
    if (heap.kmalloc(32, Gfp.KERNEL) !== 0) throw new Error("an allocation was to fail");
    const pool = rounds % 2 === 0 ? slabPool : kmallocPool;
    const element = mempools.alloc(pool, Gfp.KERNEL);
    if (element === 0) throw new Error("a pool that may be waited for gave nothing");
    use(element);
    mempools.free(pool, element);
    const block = dmaPools.alloc(dmaPool, Gfp.KERNEL);
    if (block === null) throw new Error("a page of sixteen blocks was not enough");
    use(block.at);
    dmaPools.free(dmaPool, block);
  }
  return rounds;
}

export function check(
  { mempools, dmaPools, slabs, failslab }: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { cache, slabPool, kmallocPool, dmaPool } = shared as Shared;
  const rounds = (values as number[]).reduce((sum, n) => sum + n, 0);
  // Each round fails at kmalloc, and at the pool's allocator once or twice before each wait.
  if (failslab.failures < 2 * rounds)
    throw new Error(`${failslab.failures} requests failed in ${rounds} rounds`);
  failslab.set({});
  mempools.check(slabPool, true);
  mempools.check(kmallocPool, true);
  if (dmaPools.check(dmaPool) !== 0) throw new Error("blocks are out");
  for (const pool of [slabPool, kmallocPool]) mempools.destroy(pool);
  dmaPools.destroy(dmaPool);
  const out = checkSlabs(slabs).filter(({ name, active }) => /kmalloc-|bios/.test(name) && active > 0);
  if (out.length > 0) throw new Error(`objects are out: ${JSON.stringify(out)}`);
  if (!slabs.destroy(cache)) throw new Error("the pool's cache could not be destroyed");
}
