/**
 * From one task to the next: their address spaces, and what the CPU still owes the one that it has left.
 *
 * A task without an address space borrows the one that is loaded, lazily, with a reference (`count`, not `users`): a CPU that goes
 * idle between two runs of the same program switches no tables.  The reference is given back after the switch to another
 * address space, by the next task: until then the CPU runs on these tables.
 *
 *   from \ to       kernel thread                  program
 *   kernel thread   the borrowed one passes on     switch; drop the borrowed one afterwards
 *   program         borrow: take a reference       switch
 *
 * Linux: kernel/sched/core.c context_switch, finish_task_switch; kernel/exit.c exit_mm; fs/exec.c exec_mmap;
 * kernel/kthread.c kthread_use_mm.
 * Differs: active_mm 0 is init_mm, which has no mm_struct and no references.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { Paging } from "../../mm/shootdown/paging.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task } from "../../sync/task.ts";
import type { AddressSpaces } from "../address-spaces.ts";
import { contextOf, type MmRef, MmStruct } from "../vm-area.ts";
import { RunQueue } from "./task-layout.ts";
import { type TaskRef, TaskState } from "./task-state.ts";
import type { TaskTable } from "./task-table.ts";

const task = Task;
const rq = RunQueue;
/** A task that ends borrows its address space without a reference. */
const noGrab = mutant("exit-mm-no-grab");
/** Another CPU may run the task before this one has left it. */
const leavesEarly = mutant("context-switch-on-cpu-early");

export interface ContextSwitchParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly paging: Paging;
  readonly spaces: AddressSpaces;
  readonly table: TaskTable;
  /** This CPU's run queue. */
  readonly own: Pointer;
  readonly saveRegisters: (at: TaskRef) => void;
}

export class ContextSwitch {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: ContextSwitchParts;

  constructor(parts: ContextSwitchParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  /** @holds rq.lock  @irqs off */
  switchTo(previous: TaskRef, next: TaskRef): void {
    const { memory, cpu } = this;
    const { tlb } = this.parts.paging;
    const { spaces, own } = this.parts;
    memory.work(Work.CONTEXT_SWITCH, 1);
    reached("context-switch-on-cpu-early");
    if (leavesEarly) this.leave(previous);
    memory.store(next + task.onCpu, 1);
    const active = memory.read(previous + task.activeMm);
    const mm = memory.read(next + task.mm);
    if (mm === 0) {
      tlb.enterLazy();
      memory.write(next + task.activeMm, active);
      if (memory.read(previous + task.mm) !== 0) spaces.grab(active);
      else memory.write(previous + task.activeMm, 0);
    } else {
      const borrowed = memory.read(previous + task.mm) === 0 ? active : 0;
      if (borrowed !== 0) {
        memory.write(previous + task.activeMm, 0);
        memory.write(own + rq.previousMm, borrowed);
      }
      tlb.switchMmIrqsOff(contextOf(mm));
    }
    cpu.current = next;
    this.parts.saveRegisters(previous);
    this.finish(previous);
  }

  /** Linux: finish_task_switch.  @holds rq.lock  @irqs off */
  private finish(previous: TaskRef): void {
    const { memory, cpu } = this;
    const { locks, own, table } = this.parts;
    const mm = memory.read(own + rq.previousMm);
    memory.write(own + rq.previousMm, 0);
    const isDead = memory.load(previous + task.state) === TaskState.DEAD;
    if (!leavesEarly) this.leave(previous);
    locks.unlock(own + rq.lock);
    cpu.irqEnable();
    if (mm !== 0) this.drop(mm);
    if (isDead) table.put(previous);
  }

  /** Linux: mmdrop, with __mmdrop's warning. */
  private drop(mm: MmRef): void {
    const { memory, cpu } = this;
    const { spaces, paging } = this.parts;
    const isLast = memory.load(mm + MmStruct.count) === 1;
    if (isLast && paging.tlb.loadedMm === contextOf(mm))
      bug(`cpu ${cpu.id}: frees the address space at word ${mm}, whose tables it has loaded`);
    spaces.drop(mm);
  }

  /** From here on other CPUs may run it.  Linux: finish_task. */
  private leave(previous: TaskRef): void {
    this.memory.store(previous + task.onCpu, 0);
    this.memory.wake(previous + task.onCpu);
  }

  // ---- a task's address space changes ----

  /** The running task has no address space any more, and borrows the one it had.  Linux: exit_mm.  @may-sleep */
  exitMm(): void {
    const { memory, cpu } = this;
    const { spaces, paging } = this.parts;
    const mm = memory.read(cpu.current + task.mm);
    if (mm === 0) return;
    reached("exit-mm-no-grab");
    if (!noGrab) spaces.grab(mm);
    const flags = cpu.irqSave();
    memory.write(cpu.current + task.mm, 0);
    paging.tlb.enterLazy();
    cpu.irqRestore(flags);
    spaces.put(mm);
  }

  /** The running task goes over to `mm`, whose reference it takes, and leaves its own.  Linux: exec_mmap.  @may-sleep */
  execMm(mm: MmRef): void {
    const { memory, cpu } = this;
    const { spaces, paging } = this.parts;
    const old = memory.read(cpu.current + task.mm);
    const flags = cpu.irqSave();
    memory.write(cpu.current + task.activeMm, mm);
    memory.write(cpu.current + task.mm, mm);
    paging.tlb.switchMmIrqsOff(contextOf(mm));
    cpu.irqRestore(flags);
    if (old !== 0) spaces.put(old);
  }

  /** The CPU's own task leaves the scheduler's loop and gives back what it has borrowed.  Linux: idle_task_exit, finish_cpu. */
  leaveBorrowed(): void {
    const { memory, cpu } = this;
    const { tlb } = this.parts.paging;
    const borrowed = memory.read(cpu.current + task.activeMm);
    if (borrowed === 0) return;
    memory.write(cpu.current + task.activeMm, 0);
    tlb.switchMm(tlb.initMm);
    this.drop(borrowed);
  }
}
