/**
 * The core of struct task: who runs here, and in which allocation context.
 *
 * One task a CPU, the one that runs programs; `current` is a register of the CPU.  How a task sleeps is `Sleepers`'s.
 *
 * The context flags say what an allocation may do on behalf of this task whatever its gfp flags say: without them a
 * filesystem that allocates below its own locks would need to pass GFP_NOFS down every call.
 *
 * Linux: include/linux/sched.h, include/linux/sched/mm.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { align, array, struct, word } from "../memory/struct.ts";
import { LINE_WORDS, type Pointer } from "../memory/units.ts";

/** Bytes of a task's name, the final 0 included.  Linux: TASK_COMM_LEN. */
export const TASK_NAME_BYTES = 16;

export const Task = struct("task", {
  /** TaskFlag bits, written by the task itself. */
  flags: word("owner-cpu", "flags"),
  pid: word("boot"),
  cpu: word("hint:owner-cpu"),
  /** The address space it runs in; 0 for a kernel thread. */
  mm: word("hint:owner-cpu", "pointer:mm"),
  /** The address space whose tables are loaded, borrowed by a kernel thread. */
  activeMm: word("owner-cpu", "pointer:mm"),
  name: array(TASK_NAME_BYTES / 4, "owner-cpu", "bytes"),
  /** Faults that needed no input, and those that did.  Linux: min_flt, maj_flt. */
  minFlt: word("owner-cpu", "counter"),
  majFlt: word("owner-cpu", "counter"),
  /** Where its pages come from; 0: its own node first.  See mm/pages/mempolicy. */
  mempolicy: word("owner-cpu", "pointer:mempolicy"),
  /** The node that gave the last page of an interleaving policy.  Linux: il_prev. */
  interleavePrevious: word("owner-cpu"),
  /** Lowest word of its kernel stack. */
  stack: word("boot", "pointer:word"),
  end: align(LINE_WORDS),
});
const task = Task;

/** Linux: PF_*. */
export const TaskFlag = {
  EXITING: 0x4,
  /** May use all memory, the reserves included: it frees more than it takes. */
  MEMALLOC: 0x800,
  KSWAPD: 0x20000,
  /** Allocations must not call into filesystems. */
  MEMALLOC_NOFS: 0x40000,
  /** Allocations must not start input or output. */
  MEMALLOC_NOIO: 0x80000,
  KTHREAD: 0x200000,
  /** Allocations must not come from places that long-term pins would block. */
  MEMALLOC_PIN: 0x10000000,
} as const;

export class Tasks {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly slot: PerCpuSlot;

  constructor(cpu: Cpu, slot: PerCpuSlot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("task", Task);
  }

  /** The first tasks, on the boot CPU: of `cpus` CPUs those from `programCpus` on run kernel threads. */
  format(cpus: number, programCpus: number): void {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = this.slot.of(cpu);
      const isKernelThread = cpu >= programCpus;
      this.memory.write(at + task.pid, cpu + 1);
      this.memory.write(at + task.cpu, cpu);
      this.memory.write(at + task.flags, isKernelThread ? TaskFlag.KTHREAD : 0);
      this.rename(at, isKernelThread ? `kthread/${cpu}` : `program/${cpu}`);
    }
  }

  /** Makes this CPU's task the current one. */
  attach(): void {
    this.cpu.current = this.slot.of(this.cpu.id);
  }

  /** The task that runs here. */
  get current(): Pointer {
    return this.cpu.current;
  }

  /** Linux: set_task_comm; what does not fit is cut off. */
  rename(at: Pointer, name: string): void {
    for (let i = 0; i < TASK_NAME_BYTES; i++) {
      const code = i < name.length && i < TASK_NAME_BYTES - 1 ? name.charCodeAt(i) & 0xff : 0;
      this.memory.writeByte((at + task.name) * 4 + i, code);
    }
  }

  nameOf(at: Pointer): string {
    let name = "";
    for (let i = 0; i < TASK_NAME_BYTES; i++) {
      const code = this.memory.readByte((at + task.name) * 4 + i);
      if (code === 0) break;
      name += String.fromCharCode(code);
    }
    return name;
  }

  /** What reports call the task that runs here: "program/3 (4)". */
  describeCurrent(): string {
    const { current } = this;
    return `${this.nameOf(current)} (${this.memory.read(current + task.pid)})`;
  }

  // ---- context flags of the current task ----

  get flags(): number {
    return this.memory.read(this.cpu.current + task.flags);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Sets `flag`, one of the MEMALLOC flags; returns what `restore` needs.  Linux: memalloc_flags_save. */
  save(flag: number): number {
    const at = this.cpu.current + task.flags;
    const before = this.memory.read(at);
    this.memory.write(at, before | flag);
    return before & flag;
  }

  /** Puts `flag` back as it was at the matching `save`.  Linux: memalloc_flags_restore. */
  restore(flag: number, saved: number): void {
    if ((saved & ~flag) !== 0) bug(`task ${this.describeCurrent()}: restores flag ${flag} from ${saved}`);
    const at = this.cpu.current + task.flags;
    this.memory.write(at, (this.memory.read(at) & ~flag) | saved);
  }
}
