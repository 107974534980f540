/**
 * The pages of kernel stacks: for each CPU that of its task, and the one for interrupts, on the CPU's node.
 *
 * A stack is two pages, or four, as THREAD_SIZE says; its lowest word holds STACK_END_MAGIC.  See hardware/kernel-stack.
 *
 * Linux: kernel/fork.c alloc_thread_stack_node (without CONFIG_VMAP_STACK), account_kernel_stack;
 * arch/x86/kernel/irq_32.c irq_init_percpu_irqstack, which takes pages as here.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { STACK_END_MAGIC } from "../../hardware/kernel-stack.ts";
import type { Topology } from "../../hardware/topology.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../../memory/image.ts";
import { struct, word } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Task, type Tasks } from "../../sync/task.ts";
import { NodeStat } from "../pages/counters.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";

/** Linux: hardirq_stack_ptr. */
const HardirqStack = struct("hardirq_stack_ptr", { stack: word("boot", "pointer:word") });

/** Sizes that a stack may have.  Linux: THREAD_SIZE. */
export const THREAD_SIZES: readonly number[] = [2 * PAGE_BYTES, 4 * PAGE_BYTES];

export interface KernelStacksParts {
  readonly cpu: Cpu;
  readonly pages: PageAllocator;
  readonly tasks: Tasks;
  readonly topology: Topology;
  readonly image: { readonly tasks: PerCpuSlot; readonly irqStacks: PerCpuSlot };
  readonly threadBytes: number;
}

/** How a stack has been used. */
export interface StackUse {
  readonly name: string;
  readonly cpu: number;
  readonly sizeBytes: number;
  /** Most that was in use since boot. */
  readonly usedBytes: number;
}

export class KernelStacks {
  private readonly parts: KernelStacksParts;

  constructor(parts: KernelStacksParts) {
    this.parts = parts;
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("hardirq_stack_ptr", HardirqStack);
  }

  /** Takes the pages of all CPUs' stacks, on the boot CPU; its own are in use from here on. */
  format(): void {
    const { topology } = this.parts;
    for (let cpu = 0; cpu < topology.possibleCpus; cpu++) {
      const { task, interrupt } = this.slotsOf(cpu);
      this.parts.cpu.memory.write(task, this.take(cpu, true));
      this.parts.cpu.memory.write(interrupt, this.take(cpu, false));
    }
    this.attach();
  }

  /** This CPU runs on its stacks. */
  attach(): void {
    const { cpu, tasks, threadBytes } = this.parts;
    const { task, interrupt } = this.stacksOf(cpu.id);
    if (task === 0) bug(`cpu ${cpu.id}: its kernel stack has no pages`);
    const describeTask = (): string => tasks.describeCurrent();
    cpu.stack.attach({ task, interrupt, words: threadBytes / WORD_BYTES, describeTask });
  }

  /** Lowest words of a CPU's stacks. */
  stacksOf(cpu: number): { readonly task: Pointer; readonly interrupt: Pointer } {
    const { memory } = this.parts.cpu;
    const { task, interrupt } = this.slotsOf(cpu);
    return { task: memory.read(task), interrupt: memory.read(interrupt) };
  }

  /** How each stack has been used; of a machine without `checks` nobody has counted. */
  use(): StackUse[] {
    const { cpu, tasks, topology, image, threadBytes } = this.parts;
    return Array.from({ length: topology.cpus }, (_, id) => {
      const { task, interrupt } = cpu.stack.highWaterOf(id, this.stacksOf(id), threadBytes / WORD_BYTES);
      const base = { cpu: id, sizeBytes: threadBytes };
      return [
        { ...base, name: tasks.nameOf(image.tasks.of(id)), usedBytes: task },
        { ...base, name: `irq/${id}`, usedBytes: interrupt },
      ];
    }).flat();
  }

  /** At rest: the ends of all stacks are whole, and this CPU's is empty. */
  check(): void {
    const { cpu, topology, image, tasks } = this.parts;
    for (let id = 0; id < topology.possibleCpus; id++) {
      const { task, interrupt } = this.stacksOf(id);
      const name = tasks.nameOf(image.tasks.of(id));
      for (const [stack, low] of [
        ["kernel stack", task],
        ["interrupt stack", interrupt],
      ] as const) {
        const found = cpu.memory.read(low);
        if (found !== STACK_END_MAGIC)
          bug(
            `corrupted stack end detected: ${stack} of task ${name} on cpu ${id}: 0x${(found >>> 0).toString(16)}`,
          );
      }
    }
    cpu.stack.checkAtRest();
  }

  private take(cpu: number, isTask: boolean): Pointer {
    const { pages, topology, threadBytes } = this.parts;
    const { memory } = this.parts.cpu;
    const order = Math.log2(threadBytes / PAGE_BYTES);
    const node = topology.cpuNode[cpu];
    const pfn = pages.allocPagesNode(node, Gfp.KERNEL | GfpFlag.ZERO | GfpFlag.NOWARN, order);
    if (pfn === 0)
      throw new UsageError(
        `memory: no room for kernel stacks of ${threadBytes} bytes, two for each of ${topology.possibleCpus} CPUs; ` +
          "valid is more memory, or fewer CPUs",
      );
    const low = pages.pageAddress(pfn);
    memory.write(low, STACK_END_MAGIC);
    if (isTask) {
      const irqs = this.parts.cpu.irqSave();
      pages.vmstat.modNode(pages.frames.nodeAt(node), NodeStat.nr_kernel_stack, threadBytes / 1024);
      this.parts.cpu.irqRestore(irqs);
    }
    return low;
  }

  private slotsOf(cpu: number): { readonly task: Pointer; readonly interrupt: Pointer } {
    const { image } = this.parts;
    return { task: image.tasks.of(cpu) + Task.stack, interrupt: image.irqStacks.of(cpu) };
  }
}
