/**
 * The kernel stack of one CPU: that of the task that runs, and the one on which interrupts run.
 *
 *   top   -> | outermost frame |          a frame is a number of 16 bytes; its two lowest words say
 *            | ...             |          which function's it is and how many words it has
 *   sp    -> | innermost frame |
 *            | free            |
 *   low   -> | STACK_END_MAGIC |
 *
 * The stacks are pages of RAM.  The stack pointers are registers, so they are in the CPU-state buffer.  Frames are
 * declared by the paths that `enter` and `leave`; they are there with `checks` only, and cost nothing without.
 *
 * Invariants, at rest
 *   S1  sp == top of the task's stack
 *   S2  the lowest word of each stack is STACK_END_MAGIC
 *
 * Linux: include/linux/sched/task_stack.h, kernel/fork.c set_task_stack_end_magic, kernel/sched/core.c schedule_debug,
 * arch/x86/kernel/irq_64.c.  Differs: an overrun is seen when a frame is entered, not when something is written.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";
import { CPU_STATE_WORDS, CpuState } from "./cpu-state.ts";
import { frameOfId } from "./stack-frames.ts";

const state = CpuState;
export const STACK_END_MAGIC = 0x57ac6e9d;
const WORD_BYTES = 4;
/** Frames are aligned to 16 bytes. */
const FRAME_STEP = 4;

export interface StackPlaces {
  /** Lowest words of the task's and of the interrupt stack. */
  readonly task: Pointer;
  readonly interrupt: Pointer;
  readonly words: number;
  /** The task that runs here, for reports. */
  readonly describeTask: () => string;
}

export class KernelStack {
  private readonly memory: Memory;
  private readonly cpu: number;
  private readonly registers: Int32ArrayLike;
  private readonly base: number;
  private places: StackPlaces | null = null;

  constructor(memory: Memory, cpu: number, registers: Int32ArrayLike) {
    this.memory = memory;
    this.cpu = cpu;
    this.registers = registers;
    this.base = cpu * CPU_STATE_WORDS;
  }

  /** Says where the stacks are; before that nothing is accounted. */
  attach(places: StackPlaces): void {
    this.places = places;
    const top = places.task + places.words;
    this.set(state.stackPointer, top);
    this.set(state.taskStackMin, top);
    this.set(state.irqStackMin, places.interrupt + places.words);
    this.set(state.savedStackPointer, 0);
  }

  /** A function's frame begins.  A bug when the stack has no room for it. */
  enter(frame: number): void {
    if (this.places === null) return;
    const words = Math.ceil(frameOfId(frame).bytes / WORD_BYTES / FRAME_STEP) * FRAME_STEP || FRAME_STEP;
    const sp = this.get(state.stackPointer) - words;
    if (sp <= this.low) this.overrun(frame, words);
    this.set(state.stackPointer, sp);
    const min = this.isOnInterruptStack ? state.irqStackMin : state.taskStackMin;
    if (sp < this.get(min)) this.set(min, sp);
    this.memory.write(sp, frame);
    this.memory.write(sp + 1, words);
  }

  /** The innermost frame ends, which must be `frame`. */
  leave(frame: number): void {
    if (this.places === null) return;
    const sp = this.get(state.stackPointer);
    const found = this.memory.read(sp);
    if (found !== frame)
      bug(
        `cpu ${this.cpu}: kernel stack: ${frameOfId(frame).name} returns, but the innermost frame is ` +
          `${frameOfId(found).name}'s\n${this.chain()}`,
      );
    this.set(state.stackPointer, sp + this.memory.read(sp + 1));
  }

  /** An interrupt's frame begins, on the interrupt stack. */
  enterInterrupt(frame: number): void {
    if (this.places === null) return;
    if (!this.isOnInterruptStack) {
      this.set(state.savedStackPointer, this.get(state.stackPointer));
      this.set(state.stackPointer, this.places.interrupt + this.places.words);
    }
    this.enter(frame);
  }

  leaveInterrupt(frame: number): void {
    if (this.places === null) return;
    this.leave(frame);
    if (this.get(state.stackPointer) !== this.places.interrupt + this.places.words) return;
    this.set(state.stackPointer, this.get(state.savedStackPointer));
    this.set(state.savedStackPointer, 0);
  }

  /** S2 of both stacks; for where a task gives up its CPU.  Linux: schedule_debug. */
  checkEnds(): void {
    if (this.places === null) return;
    const { task, interrupt, describeTask } = this.places;
    for (const [low, name] of [
      [task, "stack"],
      [interrupt, "interrupt stack"],
    ] as const) {
      const found = this.memory.read(low);
      if (found !== STACK_END_MAGIC)
        bug(
          `corrupted stack end detected inside scheduler: task ${describeTask()} on cpu ${this.cpu}: the last word of ` +
            `its ${name}, at 0x${(low * WORD_BYTES).toString(16)}, is 0x${(found >>> 0).toString(16)}`,
        );
    }
  }

  /** S1, S2. */
  checkAtRest(): void {
    if (this.places === null) return;
    const depth = this.places.task + this.places.words - this.get(state.stackPointer);
    if (depth !== 0)
      bug(`cpu ${this.cpu}: kernel stack: ${depth * WORD_BYTES} bytes are in use at rest\n${this.chain()}`);
    this.checkEnds();
  }

  /** Bytes of each stack that have been in use at most.  Linux: CONFIG_DEBUG_STACK_USAGE. */
  get highWater(): { readonly task: number; readonly interrupt: number } {
    if (this.places === null) return { task: 0, interrupt: 0 };
    return this.highWaterOf(this.cpu, this.places, this.places.words);
  }

  /** The same of any CPU, at rest; `stacks` are its. */
  highWaterOf(
    cpu: number,
    stacks: { readonly task: Pointer; readonly interrupt: Pointer },
    words: number,
  ): { readonly task: number; readonly interrupt: number } {
    const used = (low: Pointer, register: number): number => {
      const min = this.registers[cpu * CPU_STATE_WORDS + register];
      return min === 0 ? 0 : (low + words - min) * WORD_BYTES;
    };
    return {
      task: used(stacks.task, state.taskStackMin),
      interrupt: used(stacks.interrupt, state.irqStackMin),
    };
  }

  /** Bytes of the present stack that are in use. */
  get depthBytes(): number {
    return this.places === null ? 0 : (this.top - this.get(state.stackPointer)) * WORD_BYTES;
  }

  /** The frames of the present stack, the innermost first: depth, function, bytes. */
  chain(): string {
    const lines: string[] = [];
    const { top } = this;
    for (let sp = this.get(state.stackPointer); sp < top; ) {
      const words = this.memory.read(sp + 1);
      lines.push(frameLine(top - sp, this.memory.read(sp), words));
      if (words <= 0) break;
      sp += words;
    }
    return lines.join("\n");
  }

  private get isOnInterruptStack(): boolean {
    return this.get(state.savedStackPointer) !== 0;
  }

  private get low(): Pointer {
    const places = this.places!;
    return this.isOnInterruptStack ? places.interrupt : places.task;
  }

  private get top(): Pointer {
    return this.low + this.places!.words;
  }

  private overrun(frame: number, words: number): never {
    const { words: all, describeTask } = this.places!;
    const depth = this.top - this.get(state.stackPointer) + words;
    bug(
      `kernel stack overflow: task ${describeTask()} on cpu ${this.cpu}: ${frameOfId(frame).name} needs depth ` +
        `${depth * WORD_BYTES} of the ${this.isOnInterruptStack ? "interrupt stack's " : ""}${all * WORD_BYTES} bytes\n` +
        `${frameLine(depth, frame, words)}\n${this.chain()}`,
    );
  }

  private get(register: number): number {
    return this.registers[this.base + register];
  }

  private set(register: number, value: number): void {
    this.registers[this.base + register] = value;
  }
}

/** The CPU-state buffer's words. */
interface Int32ArrayLike {
  [index: number]: number;
}

const frameLine = (depthWords: number, frame: number, words: number): string =>
  `  ${String(depthWords * WORD_BYTES).padStart(6)}  ${frameOfId(frame).name.padEnd(32)} ${words * WORD_BYTES}`;
