/**
 * Every CPU takes memory of random sizes and types from kmalloc, fills it with its stamp, grows and shrinks some of it,
 * hands some to other CPUs through mailboxes, and frees its own and what it was handed, looking at every stamp.  At the
 * end nothing is out and no large block is left.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkKmalloc } from "../../../src/mm/slab/check-kmalloc.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";

const HELD = 60;
const MAILBOXES = 32;
const TYPES = [0, GfpFlag.RECLAIMABLE, GfpFlag.DMA, GfpFlag.ACCOUNT];

/** An object's first word says what all its words are, so that whoever gets it can look at them. */
const stampOf = (object: number, words: number): number => (object << 12) ^ words;

export function setup({ pages }: Kernel): number {
  return pages.getZeroedPage(Gfp.KERNEL);
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, memory, heap } = kernel;
  const mailboxes = shared as number;
  const { random } = cpu;
  const held: number[] = [];
  let remote = 0;

  const flags = Gfp.KERNEL | GfpFlag.NOWARN;
  const sizeOf = (): number => 4 + random.below(random.below(20) === 0 ? 40_000 : 1 << random.below(13));
  const write = (object: number, bytes: number): number => {
    const words = bytes >> 2;
    memory.fill(object, words, stampOf(object, words));
    if (words > 1) memory.write(object + 1, words);
    return object;
  };
  const look = (object: number): number => {
    const first = memory.read(object);
    const alone = first === stampOf(object, 1);
    const words = alone ? 1 : memory.read(object + 1);
    const last = words > 2 ? memory.read(object + words - 1) : first;
    if (first !== stampOf(object, words) || last !== first || heap.ksize(object) < words * 4)
      throw new Error(`cpu ${cpu.id}: word ${object} holds ${first} and ${last} for ${words} words`);
    return words;
  };
  const take = (): void => {
    const bytes = sizeOf();
    const zero = random.below(4) === 0 ? GfpFlag.ZERO : 0;
    const object = heap.kmalloc(bytes, flags | zero | TYPES[random.below(TYPES.length)]);
    if (object === 0) return;
    if (zero !== 0 && memory.read(object + (bytes >> 2) - 1) !== 0)
      throw new Error(`${bytes} bytes at word ${object} are not zeroed`);
    held.push(write(object, bytes));
  };
  const resize = (at: number): void => {
    const bytes = sizeOf();
    const old = held[at];
    const words = look(old);
    const object = heap.krealloc(old, bytes, flags);
    if (object === 0) return;
    const kept = Math.min(words, bytes >> 2);
    if (kept > 2 && memory.read(object + kept - 1) !== stampOf(old, words))
      throw new Error(`krealloc of word ${old} to ${bytes} bytes lost word ${kept - 1}`);
    held[at] = write(object, bytes);
  };
  const free = (object: number): void => {
    look(object);
    memory.write(object, 0);
    heap.kfree(object);
  };

  for (let done = 0; kernel.more(done); done++) {
    const choice = random.below(100);
    if (choice < 45 && held.length < HELD) take();
    else if (choice < 60 && held.length > 0) resize(random.below(held.length));
    else if (choice < 80 && held.length > 0) free(held.splice(random.below(held.length), 1)[0]);
    else if (held.length > 0) {
      const object = held.splice(random.below(held.length), 1)[0];
      const other = memory.exchange(mailboxes + random.below(MAILBOXES), object);
      if (other !== 0) {
        free(other);
        remote++;
      }
    }
    cpu.endOperation();
  }
  for (const object of held) free(object);
  return remote;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { memory, pages, slabs, heap, cpus } = kernel;
  const mailboxes = shared as number;
  if (cpus > 1 && values.some((remote) => (remote as number) === 0))
    throw new Error("a CPU freed nothing of others");
  for (let box = 0; box < MAILBOXES; box++) heap.kfree(memory.read(mailboxes + box));
  pages.freePagesAt(mailboxes, 0);
  const out = checkSlabs(slabs).filter(({ name, active }) => /^(dma-)?kmalloc-/.test(name) && active > 0);
  if (out.length > 0) throw new Error(`objects are out: ${JSON.stringify(out)}`);
  const large = checkKmalloc(heap, pages);
  if (large !== 0) throw new Error(`${large} pages of large blocks are left`);
  for (const cache of slabs.all()) slabs.shrink(cache);
}
