/**
 * Random work on the page allocator: any order, GFP flags of every kind, nodes, bulk, drains, and blocks that one CPU
 * allocates and another frees.  Owners stamp their frames; at the end as many pages are free as at the start.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pfn, Pointer } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { MAX_ORDER } from "../mm/pages/migrate-types.ts";
import type { WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { checkAllBack, type PageShare, restingFreePages } from "./parts/page-share.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { StampedBlocks } from "./parts/stamped-blocks.ts";

export const describe: WorkloadDescription = {
  name: "page-stress",
  summary:
    "Random orders, GFP flags, nodes, remote frees, bulk and drains; every frame is stamped by its owner.",
  phases: ["stress"],
  operation: "one random call of the page allocator",
  options: {
    fraction: {
      type: "number",
      default: 0.8,
      min: 0.01,
      max: 1.5,
      help: "part of the free memory that all CPUs may hold together; from 1 on allocations fail",
    },
    order: { type: "integer", default: MAX_ORDER, min: 0, max: MAX_ORDER, help: "largest order" },
    drains: { type: "integer", default: 5, min: 0, max: 1000, help: "drains in 1000 operations" },
  },
  stress: true,
};

interface Shared extends PageShare {
  readonly mailbox: Pointer;
}

/** How often each call comes, of 1000 beside the drains. */
const ALLOC = 440;
const FREE = ALLOC + 300;
const SEND = FREE + 100;
const RECEIVE = SEND + 100;
const BULK = RECEIVE + 20;

/** Words of the mailbox: `pfn << 4 | order` of a block on its way, or 0. */
const SLOTS = 61;
const ORDER_BITS = 4;
const BULK_PAGES = 32;
const MAX_BLOCKS = 4096;

/** Failing is part of the work, so nobody is warned. */
const FLAGS = [
  Gfp.KERNEL,
  Gfp.KERNEL | GfpFlag.ZERO,
  Gfp.KERNEL | GfpFlag.COMP,
  Gfp.KERNEL | GfpFlag.RECLAIMABLE,
  Gfp.KERNEL | GfpFlag.NORETRY,
  Gfp.HIGHUSER_MOVABLE,
  Gfp.HIGHUSER_MOVABLE | GfpFlag.ZERO,
  Gfp.USER | GfpFlag.RETRY_MAYFAIL,
  Gfp.ATOMIC,
  Gfp.NOWAIT,
  Gfp.NOWAIT | GfpFlag.ZERO,
  Gfp.DMA | GfpFlag.KSWAPD_RECLAIM,
  Gfp.DMA32 | Gfp.KERNEL,
  Gfp.KERNEL | GfpFlag.THISNODE,
].map((flags) => flags | GfpFlag.NOWARN);

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const freePages = restingFreePages(kernel);
  const budget = Math.floor((freePages * (options.fraction as number)) / kernel.cpus);
  return { blocks: Math.max(1, budget), freePages, mailbox: takeScratch(kernel, SLOTS) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "mailbox", (shared as Shared).mailbox, SLOTS);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { calls: number } {
  const { cpu } = kernel;
  const stress = new PageStress(kernel, options, shared as Shared);
  let calls = 0;
  kernel.phase("stress", () => {
    while (kernel.more(calls)) {
      stress.step();
      calls++;
      cpu.endOperation();
    }
    return calls;
  });
  stress.freeAll();
  kernel.gate();
  if (cpu.id === 0) stress.emptyMailbox();
  return { calls };
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  freeScratch(kernel, (shared as Shared).mailbox, SLOTS);
  checkAllBack(kernel, options, values, shared);
}

/** One CPU's part. */
class PageStress {
  private readonly kernel: Kernel;
  private readonly blocks: StampedBlocks;
  private readonly budgetFrames: number;
  private readonly maxOrder: number;
  private readonly drains: number;
  private readonly mailbox: Pointer;
  private readonly bulk: Pfn[] = [];

  constructor(kernel: Kernel, options: ProgramOptions, shared: Shared) {
    this.kernel = kernel;
    this.blocks = new StampedBlocks(kernel, MAX_BLOCKS);
    this.budgetFrames = shared.blocks;
    this.maxOrder = options.order as number;
    this.drains = options.drains as number;
    this.mailbox = shared.mailbox;
  }

  /** One random call. */
  step(): void {
    const { random } = this.kernel.cpu;
    if (this.blocks.frames >= this.budgetFrames || this.blocks.isFull) this.freeSome();
    else if (random.below(1000) < this.drains) this.drain();
    else {
      const what = random.below(BULK);
      if (what < ALLOC) this.alloc();
      else if (what < FREE) this.freeOne();
      else if (what < SEND) this.send();
      else if (what < RECEIVE) this.receive();
      else this.allocBulk();
    }
  }

  freeAll(): void {
    while (this.blocks.count > 0) this.free(this.blocks.count - 1);
  }

  emptyMailbox(): void {
    for (let slot = 0; slot < SLOTS; slot++) this.open(this.kernel.memory.exchange(this.mailbox + slot, 0));
    this.freeAll();
  }

  private alloc(): void {
    const { pages, cpu } = this.kernel;
    const flags = FLAGS[cpu.random.below(FLAGS.length)];
    const order = this.randomOrder();
    const pfn =
      cpu.random.below(4) === 0
        ? pages.allocPagesNode(cpu.random.below(pages.frames.nodeCount), flags, order)
        : pages.allocPages(flags, order);
    if (pfn === 0) return;
    if ((flags & GfpFlag.ZERO) !== 0) this.blocks.verifyZero(pfn, order);
    this.blocks.add(pfn, order);
  }

  private allocBulk(): void {
    const { pages, cpu } = this.kernel;
    pages.allocPagesBulk(Gfp.KERNEL | GfpFlag.NOWARN, 1 + cpu.random.below(BULK_PAGES), this.bulk);
    for (const pfn of this.bulk) {
      if (this.blocks.isFull) pages.freePage(pfn);
      else this.blocks.add(pfn, 0);
    }
    this.bulk.length = 0;
  }

  /** Small orders are common, each next one half as frequent. */
  private randomOrder(): number {
    const order = Math.clz32(this.kernel.cpu.random.next());
    return order > this.maxOrder ? 0 : order;
  }

  private freeOne(): void {
    const { count } = this.blocks;
    if (count > 0) this.free(this.kernel.cpu.random.below(count));
  }

  private freeSome(): void {
    for (let i = 0; i < 8; i++) this.freeOne();
  }

  private free(index: number): void {
    const order = this.blocks.orderOf(index);
    this.kernel.pages.freePages(this.blocks.remove(index), order);
  }

  /** Puts a block into the mailbox; what lay there is this CPU's. */
  private send(): void {
    const { cpu, memory } = this.kernel;
    if (this.blocks.count === 0) return;
    const index = cpu.random.below(this.blocks.count);
    const order = this.blocks.orderOf(index);
    const letter = (this.blocks.remove(index) << ORDER_BITS) | order;
    this.open(memory.exchange(this.mailbox + cpu.random.below(SLOTS), letter));
  }

  private receive(): void {
    const { cpu, memory } = this.kernel;
    this.open(memory.exchange(this.mailbox + cpu.random.below(SLOTS), 0));
  }

  /** Takes in a block from the mailbox: most are freed at once, far from where they were allocated. */
  private open(letter: number): void {
    if (letter === 0) return;
    this.blocks.adopt(letter >>> ORDER_BITS, letter & ((1 << ORDER_BITS) - 1));
    if (this.blocks.isFull || this.kernel.cpu.random.below(4) !== 0) this.free(this.blocks.count - 1);
  }

  private drain(): void {
    const { pages, cpu } = this.kernel;
    if (cpu.random.below(4) === 0) pages.drain.all();
    else pages.drain.cpu(cpu.id);
  }
}
