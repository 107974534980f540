/**
 * kmalloc and kfree of a mix of sizes: every CPU keeps a number of blocks, and replaces one of them by a new one each
 * time.  Some blocks go to other CPUs through a mailbox, and are freed there.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { STRESS_DEFAULTS } from "./parts/object-cache.ts";
import { OwnerMarks } from "./parts/owner-mark.ts";
import { checkPagesBack, freeAndSlabPages, kmallocObjectsOut } from "./parts/pages-back.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { DEFAULT_MIX, SizeMix } from "./parts/size-mix.ts";

export const describe: WorkloadDescription = {
  name: "kmalloc-mix",
  summary: "Every CPU replaces one of its blocks by a new one of a random size; some are freed elsewhere.",
  phases: ["mix"],
  operation: "one kmalloc, and from the moment on when all places are taken one kfree",
  options: {
    mix: { type: "text", default: DEFAULT_MIX, help: "sizes: bytes:weight pairs, each up to so many bytes" },
    held: { type: "integer", default: 256, min: 1, max: 100_000, help: "blocks that a CPU keeps" },
    remote: {
      type: "integer",
      default: 10,
      min: 0,
      max: 100,
      help: "of 100 blocks so many go to other CPUs",
    },
    reclaimable: { type: "integer", default: 5, min: 0, max: 100, help: "of 100 so many are reclaimable" },
    stamp: {
      type: "boolean",
      default: false,
      help: "owners mark their blocks and look at the mark before a free; smpsim stress does it unless told not to",
    },
  },
  stressDefaults: STRESS_DEFAULTS,
};

/** Words of the mailbox: a block on its way, or 0. */
const SLOTS = 61;
/** Never a free pointer's, not even in the smallest class. */
const OWNER_WORD = 1;

interface Shared {
  readonly mailbox: Pointer;
  readonly pages: number;
  /** Objects that were out before. */
  readonly out: number;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  mixOf(options);
  if (!kernel.heap.start()) bug("there is no memory for the caches of kmalloc");
  const pages = freeAndSlabPages(kernel);
  return { pages, out: kmallocObjectsOut(kernel), mailbox: takeScratch(kernel, SLOTS) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "mailbox", (shared as Shared).mailbox, SLOTS);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu } = kernel;
  const blocks = new Blocks(kernel, options, (shared as Shared).mailbox);
  kernel.phase("mix", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      blocks.replaceOne();
      cpu.endOperation();
    }
    return done;
  });
  blocks.freeAll();
  kernel.gate();
  if (cpu.id === 0) blocks.emptyMailbox();
  return { metrics: { "failed allocations": { value: blocks.failed, unit: "blocks" } } };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { mailbox, pages, out } = shared as Shared;
  freeScratch(kernel, mailbox, SLOTS);
  const found = kmallocObjectsOut(kernel);
  if (found !== out) bug(`${found} objects are out after the run, ${out} were before it`);
  checkPagesBack(kernel, pages);
}

const mixOf = (options: ProgramOptions): SizeMix =>
  new SizeMix(options.mix as string, "kmalloc-mix: option mix");

/** The blocks of one CPU. */
class Blocks {
  failed = 0;
  private readonly kernel: Kernel;
  private readonly mix: SizeMix;
  private readonly marks: OwnerMarks;
  private readonly stamps: boolean;
  private readonly remote: number;
  private readonly reclaimable: number;
  private readonly mailbox: Pointer;
  private readonly held: Pointer[];

  constructor(kernel: Kernel, options: ProgramOptions, mailbox: Pointer) {
    this.kernel = kernel;
    this.mix = mixOf(options);
    this.marks = new OwnerMarks(kernel);
    this.stamps = options.stamp as boolean;
    this.remote = options.remote as number;
    this.reclaimable = options.reclaimable as number;
    this.mailbox = mailbox;
    this.held = new Array(options.held as number).fill(0);
  }

  /** Lets go of what is in a random place, and puts a new block there. */
  replaceOne(): void {
    const { kernel, held } = this;
    const { random } = kernel.cpu;
    const place = random.below(held.length);
    const old = held[place];
    if (old !== 0 && random.below(100) < this.remote) this.send(old);
    else if (old !== 0) this.free(old);
    const type = random.below(100) < this.reclaimable ? GfpFlag.RECLAIMABLE : 0;
    const block = kernel.heap.kmalloc(this.mix.draw(random), Gfp.KERNEL | GfpFlag.NOWARN | type);
    if (block === 0) this.failed++;
    else if (this.stamps) this.marks.take(block, OWNER_WORD);
    held[place] = block;
  }

  freeAll(): void {
    for (const block of this.held) if (block !== 0) this.free(block);
  }

  emptyMailbox(): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      const block = this.kernel.memory.exchange(this.mailbox + slot, 0);
      if (block !== 0) this.free(block);
    }
  }

  /** Puts a block into the mailbox; what lay there is this CPU's to free. */
  private send(block: Pointer): void {
    const { memory, cpu } = this.kernel;
    const other = memory.exchange(this.mailbox + cpu.random.below(SLOTS), block);
    if (other !== 0) this.free(other);
  }

  private free(block: Pointer): void {
    if (this.stamps) this.marks.giveUp(block, OWNER_WORD);
    this.kernel.heap.kfree(block);
  }
}
