/** The rules of the architecture test, as data.  Change them here, with a reason where one is asked for. */

/**
 * Folders of src, lowest first.  A folder imports only from rows before its own; folders of one row do not know each
 * other.  index.ts is the library's public door.
 */
export const ROWS: readonly (readonly string[])[] = [
  ["memory"],
  ["hardware"],
  ["sync"],
  ["mm"],
  ["process"],
  ["procfs", "schedule", "check", "workloads", "scenarios"],
  ["machine"],
  ["experiment"],
  ["cli", "web"],
  ["index.ts"],
];

/** Folders that may import less than their row says. */
export const ONLY: Record<string, readonly string[]> = {
  // Its Memory classes are chosen before the kernel is imported, and run below every part of it.
  schedule: ["memory", "hardware"],
};

/** An import that the rows forbid: `from` and `to` are a folder or a file of src. */
export interface Allowed {
  from: string;
  to: string;
  /** Only types may be imported. */
  typesOnly?: boolean;
  reason: string;
}
export const ALLOWED_IMPORTS: readonly Allowed[] = [
  ...["kernel.ts", "program.ts"].map((file) => ({
    from: "workloads",
    to: `machine/${file}`,
    typesOnly: true,
    reason: "a kernel module names the types of what it is given",
  })),
  {
    from: "scenarios",
    to: "machine/kernel.ts",
    typesOnly: true,
    reason: "a kernel module names the type of the kernel that it is given",
  },
];

/** Folders of src that run on a simulated CPU. */
const KERNEL = ["hardware", "sync", "mm", "process", "procfs", "check", "workloads", "scenarios"];

/** Where npm packages and Node's own modules may be imported. */
export const MAY_IMPORT_PACKAGES = ["machine", "experiment", "cli", "web"];
export const MAY_NOT_IMPORT_NODE = KERNEL;

/** Names that only the listed folders of src may use, and why. */
export interface Reserved {
  names: readonly string[];
  folders: readonly string[];
  reason: string;
  /** Single files of src with a reason of their own. */
  files?: Record<string, string>;
}

const TYPED_ARRAYS = [8, 16, 32]
  .flatMap((bits) => [`Int${bits}Array`, `Uint${bits}Array`])
  .concat("Uint8ClampedArray", "Float32Array", "Float64Array", "DataView", "Buffer");
const SCHEDULERS = ["schedule", "machine"];
const FRONT = ["experiment", "cli", "web"];
/** Registers are the CPU's own; its pending and kick words are hardware that other CPUs reach. */
const CPU = {
  "src/hardware/cpu.ts": "registers, pending word and kick word of a CPU are not in RAM",
  "src/hardware/tlb.ts": "a TLB is not in RAM: its own CPU alone reaches it",
  "src/hardware/walk-cache.ts": "it is part of the TLB",
};

export const RESERVED: readonly Reserved[] = [
  {
    names: ["Math.random", "Date.now", "performance.now", "process.hrtime"],
    folders: [...SCHEDULERS, ...FRONT],
    reason: "a run repeats only if time and chance come through the scheduler's seam",
  },
  {
    names: ["Atomics", "SharedArrayBuffer"],
    folders: ["memory", ...SCHEDULERS],
    files: CPU,
    reason: "all shared state is reached through Memory, where checkers and clocks see it",
  },
  {
    names: TYPED_ARRAYS,
    folders: ["memory", ...SCHEDULERS, ...FRONT],
    files: CPU,
    reason: "simulated memory is reached through Memory, where checkers and clocks see it",
  },
  {
    names: ["BigInt", "BigInt64Array", "BigUint64Array"],
    folders: ["machine", ...FRONT],
    files: { "src/memory/wasm-atomics.ts": "the host takes the size of a 64-bit memory as a BigInt, once" },
    reason: "BigInt costs 16 times a number: values of 64 bits are two words",
  },
];

export const LIMITS = { lines: 400, exports: 8 };

/** Modules with more value exports than the limit, and why. */
export const MANY_EXPORTS: Record<string, string> = {
  "src/memory/control.ts": "the layout of the control buffer, one constant a part",
  "src/mm/pages/migrate-types.ts": "orders and migrate types are constants that are used together",
  "src/memory/struct.ts": "one word a kind of field, so that a declaration reads as a table",
  "src/memory/units.ts": "the branded numbers and the functions that convert them",
};
