/**
 * The pages of kernel stacks: for each CPU that of its task, and the one for interrupts, on the CPU's node.
 *
 * A stack is two pages, or four, as THREAD_SIZE says; its lowest word holds STACK_END_MAGIC.  See hardware/kernel-stack.
 *
 * Linux: kernel/fork.c alloc_thread_stack_node (without CONFIG_VMAP_STACK), account_kernel_stack;
 * arch/x86/kernel/irq_32.c irq_init_percpu_irqstack, which takes pages, too.  Differs: boot places the stacks.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { STACK_END_MAGIC } from "../../hardware/kernel-stack.ts";
import type { Topology } from "../../hardware/topology.ts";
import { bug } from "../../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../../memory/image.ts";
import { struct, word } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Task, type Tasks } from "../../sync/task.ts";
import { NodeStat } from "../pages/counters.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";

/** Linux: hardirq_stack_ptr. */
const HardirqStack = struct("hardirq_stack_ptr", { stack: word("boot", "pointer:word") });

/** A task's, and the one for interrupts. */
export const STACKS_A_CPU = 2;

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

  /** On the boot CPU: each CPU's stacks lie at its place; the boot CPU's are in use from here on. */
  format(places: readonly Pointer[]): void {
    const { memory } = this.parts.cpu;
    for (const [cpu, place] of places.entries()) {
      const { task, interrupt } = this.slotsOf(cpu);
      memory.write(task, this.begin(place));
      memory.write(interrupt, this.begin(place + this.parts.threadBytes / WORD_BYTES));
      this.account(cpu);
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

  private begin(low: Pointer): Pointer {
    this.parts.cpu.memory.write(low, STACK_END_MAGIC);
    return low;
  }

  /** A task's stack, not the interrupts'.  Linux: account_kernel_stack. */
  private account(cpu: number): void {
    const { pages, topology, threadBytes, cpu: here } = this.parts;
    const irqs = here.irqSave();
    const node = pages.frames.nodeAt(topology.cpuNode[cpu]);
    pages.vmstat.modNode(node, NodeStat.nr_kernel_stack, threadBytes / 1024);
    here.irqRestore(irqs);
  }

  private slotsOf(cpu: number): { readonly task: Pointer; readonly interrupt: Pointer } {
    const { image } = this.parts;
    return { task: image.tasks.of(cpu) + Task.stack, interrupt: image.irqStacks.of(cpu) };
  }
}
