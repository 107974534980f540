/**
 * Boot: from power-on to a kernel, in order.
 *
 * The boot CPU formats; every other CPU declares the same image and attaches to it.  Both then build the same engines,
 * in the same order, over the same addresses.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Memory } from "../memory/memory.ts";
import { attachMemory, type BootRecord } from "../mm/boot/boot-info.ts";
import { bootMemory } from "../mm/boot/boot-memory.ts";
import { PageAllocator } from "../mm/pages/page-allocator.ts";
import { STACKS_A_CPU } from "../mm/stacks/kernel-stacks.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { spinLocksOf } from "../sync/stepped-spinlock.ts";
import type { ResolvedConfig } from "./config.ts";
import { declareKernel, type KernelImage } from "./image.ts";
import { Kernel } from "./kernel.ts";

export interface BootParts {
  readonly cpu: Cpu;
  readonly memory: Memory;
  readonly control: Int32Array;
  readonly config: ResolvedConfig;
}

/** The first line of the boot log. */
function banner(config: ResolvedConfig): string {
  const { cpus, nodes } = config.topology;
  return `smpsim: Linux 6.12 rules, ${cpus} CPU${cpus > 1 ? "s" : ""} on ${nodes} node${nodes > 1 ? "s" : ""}`;
}

/** Formats the machine on the boot CPU; returns its kernel and the boot log. */
export function bootKernel(parts: BootParts): { kernel: Kernel; log: readonly string[] } {
  const { memory, config } = parts;
  const image = declareKernel(config.topology, config.boot, config.shape.slab);
  let spin: SpinLocks | null = null;
  let pages: PageAllocator | null = null;
  const { record, log, stacks } = bootMemory({
    memory,
    image: image.layout,
    mm: image.mm,
    attachBuddy: () => {
      spin = spinLocksOf(parts.cpu, image.spin);
      const allocator = createPages(parts, image, spin);
      pages = allocator;
      return (pfn, order) => allocator.releasePages(pfn, order);
    },
    options: { banner: banner(config), ...config.boot, stackBytes: STACKS_A_CPU * config.threadBytes },
  });
  const kernel = buildKernel(parts, image, record, { spin, pages });
  kernel.rcu.format();
  kernel.perCpuChunks.format();
  kernel.tasks.format(config.topology.possibleCpus, config.cpus);
  kernel.stacks.format(stacks);
  kernel.slabs.format();
  kernel.heap.format();
  kernel.vmap.format();
  kernel.paging.format();
  kernel.failslab.set(config.failslab ?? {});
  kernel.waitQueues.formatEntries(config.topology.possibleCpus);
  return { kernel, log: log.lines };
}

/** Builds the kernel of a CPU other than the boot CPU, over what that has formatted. */
export function attachKernel(parts: BootParts): Kernel {
  const { topology, boot, shape } = parts.config;
  const image = declareKernel(topology, boot, shape.slab);
  const record = attachMemory(parts.memory, image.layout);
  const kernel = buildKernel(parts, image, record, { spin: null, pages: null });
  kernel.stacks.attach();
  return kernel;
}

function buildKernel(
  parts: BootParts,
  image: KernelImage,
  record: BootRecord,
  early: { spin: SpinLocks | null; pages: PageAllocator | null },
): Kernel {
  const spin = early.spin ?? spinLocksOf(parts.cpu, image.spin);
  const pages = early.pages ?? createPages(parts, image, spin);
  return new Kernel({ ...parts, image, record, spin, pages });
}

function createPages(parts: BootParts, image: KernelImage, locks: SpinLocks): PageAllocator {
  return new PageAllocator({
    cpu: parts.cpu,
    locks,
    globals: image.mm.globals.address,
    localNode: parts.config.topology.cpuNode[parts.cpu.id],
  });
}
