/**
 * Frames of kernel functions on a stack: their names, and how many bytes each is taken to have.
 *
 * A simulated kernel's locals are JavaScript's, so sizes are declared: about what a 64-bit kernel of 6.12 needs
 * (scripts/checkstack), saved registers and return address included.  Only paths where depth adds up have one.
 */

export interface FrameDescription {
  readonly name: string;
  readonly bytes: number;
}

export const StackFrame = {
  /** Saved registers and the entry code of an interrupt. */
  INTERRUPT: 1,
  SOFTIRQ: 2,
  CALL_FUNCTIONS: 3,
  RCU_CORE: 4,
  ALLOC_SLOWPATH: 5,
  SLAB_ALLOC: 6,
  ALLOCATE_SLAB: 7,
  PCPU_ALLOC: 8,
  PCPU_BALANCE: 9,
} as const;

const frames: FrameDescription[] = [
  { name: "(no frame)", bytes: 0 },
  { name: "asm_sysvec", bytes: 232 },
  { name: "handle_softirqs", bytes: 144 },
  { name: "__flush_smp_call_function_queue", bytes: 112 },
  { name: "rcu_core", bytes: 144 },
  { name: "__alloc_pages_slowpath", bytes: 304 },
  { name: "___slab_alloc", bytes: 192 },
  { name: "allocate_slab", bytes: 112 },
  { name: "pcpu_alloc", bytes: 240 },
  { name: "pcpu_balance_workfn", bytes: 176 },
];

/** Declares a frame of a kernel module; every CPU declares the same ones in the same order. */
export function declareFrame(name: string, bytes: number): number {
  const known = frames.findIndex((frame) => frame.name === name && frame.bytes === bytes);
  if (known >= 0) return known;
  frames.push({ name, bytes });
  return frames.length - 1;
}

/** The frame `id`; one that nobody has declared has a name that says so. */
export const frameOfId = (id: number): FrameDescription =>
  frames[id] ?? { name: `(frame ${id} of no function)`, bytes: 0 };
