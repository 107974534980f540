/**
 * What the slab workloads have in common: the cache that they use, what its objects carry while they are out, and that
 * all pages come back.
 *
 * With `stamp` the last word of an object names its owner (owner-mark).
 */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import type { Pointer } from "../../memory/units.ts";
import { Gfp } from "../../mm/pages/gfp.ts";
import { SlabFlag } from "../../mm/slab/slab-flags.ts";
import type { MetricsValue, OptionDescription } from "../description.ts";
import { OwnerMarks } from "./owner-mark.ts";
import { checkPagesBack, freeAndSlabPages } from "./pages-back.ts";

/** Objects larger than this leave no room for many in a small machine. */
const MAX_BYTES = 32_768;
const MAX_NODE = 7;

export const CACHE_OPTIONS = {
  size: { type: "integer", default: 256, min: 8, max: MAX_BYTES, help: "bytes of an object" },
  flags: {
    type: "text",
    default: "",
    help: `flags of the cache, joined by +: ${Object.keys(SlabFlag).join(", ")}`,
  },
  hardened: { type: "boolean", default: false, help: "free pointers are stored mixed with a secret" },
  node: {
    type: "integer",
    default: -1,
    min: -1,
    max: MAX_NODE,
    help: "where objects are to come from; -1: near the CPU that asks",
  },
  stamp: {
    type: "boolean",
    default: false,
    help: "owners mark their objects and look at the mark before a free; smpsim stress does it unless told not to",
  },
} as const satisfies Record<string, OptionDescription>;

/** What `smpsim stress` sets unless it is told otherwise. */
export const STRESS_DEFAULTS = { stamp: true } as const;

/** The same for all CPUs. */
export interface ObjectCache {
  readonly cache: Pointer;
  /** Pages that were free or slabs before the cache was made. */
  readonly pages: number;
}

/** Makes the cache; `name` is the workload's. */
export function makeCache(kernel: Kernel, options: ProgramOptions, name: string): ObjectCache {
  const pages = freeAndSlabPages(kernel);
  const cache = createCache(kernel, options, name);
  if (cache === 0) bug(`no memory for a cache of ${options.size} bytes`);
  return { cache, pages };
}

/** A cache as the options say, which shares its slabs with no other, or 0. */
export function createCache({ slabs, topology }: Kernel, options: ProgramOptions, name: string): Pointer {
  const node = options.node as number;
  const { nodes } = topology;
  if (node >= nodes)
    throw new UsageError(`${name}: option node: ${node} is not valid; valid are -1 to ${nodes - 1}`);
  return slabs.create({
    name,
    objectBytes: options.size as number,
    flags: parseFlags(name, options.flags as string) | SlabFlag.NO_MERGE,
    hardened: options.hardened as boolean,
  });
}

/** Ends the cache: none of its objects is out, and all pages have come back. */
export function endCache(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { cache, pages } = shared as ObjectCache;
  if (!kernel.slabs.destroy(cache)) bug("the cache cannot be destroyed: some of its objects are still out");
  checkPagesBack(kernel, pages);
}

/** One CPU's use of a cache. */
export class ObjectUser {
  declare readonly stamps: boolean;
  declare private readonly slabs: Kernel["slabs"];
  declare private readonly marks: OwnerMarks;
  declare private readonly node: number;
  /** Word of an object that says who has it. */
  declare private readonly ownerWord: number;
  private failures = 0;

  constructor(kernel: Kernel, options: ProgramOptions) {
    this.stamps = options.stamp as boolean;
    this.slabs = kernel.slabs;
    this.marks = new OwnerMarks(kernel);
    this.node = options.node as number;
    // Never the free pointer's, which lies in the middle of an object or behind it.
    this.ownerWord = ((options.size as number) >> 2) - 1;
  }

  /** Whether it does no more than to ask for objects near this CPU. */
  get isPlain(): boolean {
    return this.node < 0 && !this.stamps;
  }

  /** An object, or 0, which is counted. */
  alloc(cache: Pointer): Pointer {
    const object =
      this.node < 0
        ? this.slabs.alloc(cache, Gfp.KERNEL)
        : this.slabs.allocNode(cache, Gfp.KERNEL, this.node);
    if (object === 0) this.failures++;
    else if (this.stamps) this.marks.take(object, this.ownerWord);
    return object;
  }

  free(cache: Pointer, object: Pointer): void {
    if (this.stamps) this.marks.giveUp(object, this.ownerWord);
    this.slabs.free(cache, object);
  }

  /** `count` objects appended to `into`, or none. */
  allocBulk(cache: Pointer, count: number, into: Pointer[]): void {
    const before = into.length;
    if (!this.slabs.allocBulk(cache, Gfp.KERNEL, count, into)) this.failures += count;
    if (this.stamps) for (let i = before; i < into.length; i++) this.marks.take(into[i], this.ownerWord);
  }

  freeBulk(cache: Pointer, objects: readonly Pointer[]): void {
    if (this.stamps) for (const object of objects) this.marks.giveUp(object, this.ownerWord);
    this.slabs.freeBulk(cache, objects);
  }

  countFailure(): void {
    this.failures++;
  }

  get failed(): MetricsValue {
    return { metrics: { "failed allocations": { value: this.failures, unit: "objects" } } };
  }
}

function parseFlags(workload: string, text: string): number {
  let flags = 0;
  for (const name of text.split("+").filter((part) => part !== "")) {
    if (!Object.hasOwn(SlabFlag, name))
      throw new UsageError(
        `${workload}: option flags: "${name}" is not valid; valid are ${Object.keys(SlabFlag).join(", ")}, joined by +`,
      );
    flags |= SlabFlag[name as keyof typeof SlabFlag];
  }
  return flags;
}
