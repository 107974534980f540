/**
 * Every CPU takes objects of several caches, stamps them, hands some to other CPUs through a mailbox, and frees its own and
 * what it was handed; now and then it shrinks a cache.  At the end all caches must be empty, and all pages come back.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";

const SIZES = [8, 24, 64, 200, 1024, 5000];
const HELD = 150;
const MAILBOXES = 64;

interface Shared {
  readonly mailboxes: number;
  readonly caches: readonly number[];
}

interface Piece {
  readonly object: number;
  readonly cache: number;
}

export function setup({ pages, slabs }: Kernel): Shared {
  const mailboxes = pages.getZeroedPage(Gfp.KERNEL);
  const caches = SIZES.map((objectBytes, i) =>
    slabs.create({ name: `churn-${objectBytes}`, objectBytes, hardened: i % 2 === 1 }),
  );
  return { mailboxes, caches };
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, memory, slabs } = kernel;
  const { mailboxes, caches } = shared as Shared;
  const { random } = cpu;
  const held: Piece[] = [];
  let remote = 0;

  // The last word of an object is never its free pointer's, which lies in its middle or before.
  const stampOf = (cache: number): number => (SIZES[cache] >> 2) - 1;
  const take = (cache: number): void => {
    const flags = random.below(4) === 0 ? GfpFlag.ZERO : 0;
    const object = slabs.alloc(caches[cache], Gfp.KERNEL | GfpFlag.NOWARN | flags);
    if (object === 0) return;
    const at = object + stampOf(cache);
    if (flags !== 0 && memory.read(at) !== 0) throw new Error(`a zeroed object holds ${memory.read(at)}`);
    memory.write(at, object ^ -1);
    held.push({ object, cache });
  };
  /** Half of what comes in bulk is stamped and kept, the other half goes back in bulk. */
  const takeMany = (cache: number): void => {
    const objects: number[] = [];
    if (!slabs.allocBulk(caches[cache], Gfp.KERNEL | GfpFlag.NOWARN, 16, objects)) return;
    for (const object of objects) memory.write(object + stampOf(cache), object ^ -1);
    slabs.freeBulk(caches[cache], objects.splice(8));
    for (const object of objects) held.push({ object, cache });
  };
  const free = ({ object, cache }: Piece): void => {
    const at = object + stampOf(cache);
    const seen = memory.read(at);
    if (seen !== (object ^ -1))
      throw new Error(`cpu ${cpu.id}: object ${object} was overwritten with ${seen}`);
    memory.write(at, 0);
    slabs.free(caches[cache], object);
  };

  for (let done = 0; kernel.more(done); done++) {
    const choice = random.below(100);
    if (choice < 44 && held.length < HELD) take(random.below(SIZES.length));
    else if (choice < 48 && held.length < HELD) takeMany(random.below(SIZES.length));
    else if (choice < 70 && held.length > 0) free(held.splice(random.below(held.length), 1)[0]);
    else if (choice < 99 && held.length > 0) {
      // A mailbox holds objects of one cache: what was in it is this CPU's to free.
      const piece = held.splice(random.below(held.length), 1)[0];
      const box = mailboxes + random.below(MAILBOXES) * SIZES.length + piece.cache;
      const object = memory.exchange(box, piece.object);
      if (object !== 0) {
        free({ object, cache: piece.cache });
        remote++;
      }
    } else if (random.below(20) === 0) slabs.shrink(caches[random.below(SIZES.length)]);
    cpu.endOperation();
  }
  for (const piece of held) free(piece);
  return remote;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { memory, pages, slabs, cpus } = kernel;
  const { mailboxes, caches } = shared as Shared;
  if (cpus > 1 && values.some((remote) => (remote as number) === 0))
    throw new Error("a CPU freed nothing of others");
  const count = (cache: number): number =>
    checkSlabs(slabs).find((entry) => entry.cache === cache)?.active ?? -1;
  for (let i = 0; i < SIZES.length; i++) {
    let left = 0;
    for (let box = 0; box < MAILBOXES; box++) {
      const object = memory.read(mailboxes + box * SIZES.length + i);
      if (object !== 0) left++;
    }
    // SLOB does not know its objects.
    if (slabs.kind !== "slob" && count(caches[i]) !== left)
      throw new Error(`${count(caches[i])} objects of ${SIZES[i]} bytes are out, ${left} are in mailboxes`);
    for (let box = 0; box < MAILBOXES; box++) {
      const object = memory.read(mailboxes + box * SIZES.length + i);
      if (object !== 0) slabs.free(caches[i], object);
    }
    if (!slabs.destroy(caches[i])) throw new Error(`the cache of ${SIZES[i]} bytes could not be destroyed`);
  }
  // The caches of the caches' own structures keep some empty slabs: not always as many.
  for (const cache of slabs.all()) slabs.shrink(cache);
  const left = checkSlabs(slabs);
  const held = left.reduce((sum, entry) => sum + entry.slabs, 0);
  if (left.some(({ name }) => name.startsWith("churn-")) || held > left.length * 16)
    throw new Error(`${held} slabs of ${left.length} caches are left`);
  pages.freePagesAt(mailboxes, 0);
}
