/**
 * Functions that must be named in RAM: interrupt-call handlers, RCU callbacks, wake functions, constructors.
 *
 * A function's id is its place in one table, equal in all workers because all register in the same order.  The first
 * CPU that registers an id publishes the hash of the name; every other compares, so an order that differs stops the
 * machine at the registration, not at a call of the wrong function.
 *
 * Invariants
 *   F1  id 0 names no function
 *   F2  the words of ids below this worker's count equal the hashes of its names
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { array, struct } from "../memory/struct.ts";

/** Id of a registered function. */
export type FunctionId = number;
/** Runs on the CPU it is given, with what was stored beside its id.  What the number means is the caller's. */
// biome-ignore lint/suspicious/noConfusingVoidType: most functions return nothing, wake functions a verdict
export type KernelFunction = (cpu: Cpu, argument: number, argument2: number) => number | void;

const MAX_FUNCTIONS = 256;
const FunctionTable = struct("function_table", { nameHash: array(MAX_FUNCTIONS, "atomic") });
const table = FunctionTable;

export class Functions {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly slot: Slot;
  private readonly entries: KernelFunction[] = [none];
  private readonly names: string[] = ["(none)"];

  constructor(cpu: Cpu, slot: Slot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("function_table", FunctionTable);
  }

  /** Gives `run` the next id.  Every CPU registers the same names in the same order. */
  register(name: string, run: KernelFunction): FunctionId {
    const id = this.entries.length;
    if (id >= MAX_FUNCTIONS) bug(`function "${name}": the table is full with ${MAX_FUNCTIONS} functions`);
    if (this.names.includes(name)) bug(`function "${name}" is registered twice on cpu ${this.cpu.id}`);
    const hash = nameHash(name);
    const published = this.memory.cas(this.slot.address + table.nameHash + id, 0, hash);
    if (published !== 0 && published !== hash) {
      bug(`function ${id} is "${name}" on cpu ${this.cpu.id}, another CPU has registered a different one`);
    }
    this.entries.push(run);
    this.names.push(name);
    return id;
  }

  /** Calls function `id` on this CPU; its number, or 0. */
  call(id: FunctionId, argument: number, argument2: number): number {
    const run = this.entries[id];
    if (run === undefined) bug(`cpu ${this.cpu.id}: call of function ${id}; valid are 1 to ${this.last}`);
    return run(this.cpu, argument, argument2) ?? 0;
  }

  nameOf(id: FunctionId): string {
    return this.names[id] ?? `function ${id}?`;
  }

  /** Equal on CPUs that have registered the same names in the same order. */
  fingerprint(): number {
    return this.names.reduce((sum, name) => (Math.imul(sum, 31) + nameHash(name)) | 0, 0);
  }

  private get last(): number {
    return this.entries.length - 1;
  }
}

function none(cpu: Cpu, argument: number): never {
  bug(`cpu ${cpu.id}: call of function 0 with argument ${argument}`);
}

/** FNV-1a, 32 bits; never 0. */
function nameHash(name: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash | 1;
}
