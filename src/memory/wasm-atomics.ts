/**
 * Atomic operations on RAM as WebAssembly functions over the same memory.
 *
 * V8 calls a builtin for each `Atomics` operation on a typed array (9 ns); a WebAssembly function it inlines to the one
 * locked instruction (3 ns).  So RAM is a shared `WebAssembly.Memory`: typed arrays over its buffer for plain accesses,
 * these functions for marked ones.  Both are sequentially consistent.
 *
 * The module is assembled here, one function an operation: shift the word index to a byte address, do the instruction.
 * Memories above 4 GiB have 64-bit addresses; their functions take byte addresses as float64, which holds them exactly.
 */

import { giveFunction, type LockSteps, takeFunction } from "./lock-steps.ts";
import { type BulkOperations, bulkFunctions } from "./wasm-bulk.ts";
import { Op, ValueType, type WasmFunction, wasmModule, wordAddress } from "./wasm-format.ts";

/** Marked operations; word forms take a word index, byte forms a byte address. */
export interface AtomicOperations {
  load(address: number): number;
  store(address: number, value: number): void;
  cas(address: number, expected: number, replacement: number): number;
  add(address: number, value: number): number;
  and(address: number, value: number): number;
  or(address: number, value: number): number;
  exchange(address: number, value: number): number;
  loadByte(byteAddress: number): number;
  storeByte(byteAddress: number, value: number): void;
  casByte(byteAddress: number, expected: number, replacement: number): number;
  exchangeHalf(byteAddress: number, value: number): number;
}

/** A shared `WebAssembly.Memory`; it crosses to other threads in a message. */
export interface RamMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The part of the host's WebAssembly that is used here: TypeScript knows it only beside a browser's names. */
interface WebAssemblyHost {
  readonly Memory: new (limits: object) => RamMemory;
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}
const wasm = (globalThis as unknown as { WebAssembly: WebAssemblyHost }).WebAssembly;

const WASM_PAGE_BYTES = 65536;
/** Above this a memory needs 64-bit addresses. */
const MAX_BYTES_32 = 2 ** 32;

/** RAM of `bytes` bytes, rounded up to 64 KiB.  The host commits what is touched. */
export function createRam(bytes: number): RamMemory {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  if (bytes <= MAX_BYTES_32) return new wasm.Memory({ initial: pages, maximum: pages, shared: true });
  return new wasm.Memory({ initial: BigInt(pages), maximum: BigInt(pages), shared: true, address: "i64" });
}

/** The operations on `ram`, for one thread. */
export function atomicsOf(ram: RamMemory): AtomicOperations {
  const isWide = ram.buffer.byteLength > MAX_BYTES_32;
  return instantiate(
    ram,
    isWide,
    OPERATIONS.map((operation) => atomicFunction(operation, isWide)),
  ) as AtomicOperations;
}

/** A spinlock's two common steps on `ram`, for one thread. */
export function lockStepsOf(ram: RamMemory): LockSteps {
  const isWide = ram.buffer.byteLength > MAX_BYTES_32;
  return instantiate(ram, isWide, [takeFunction(isWide), giveFunction(isWide)]) as LockSteps;
}

/** Filling and copying on `ram`, for one thread. */
export function bulkOf(ram: RamMemory): BulkOperations {
  const isWide = ram.buffer.byteLength > MAX_BYTES_32;
  return instantiate(ram, isWide, bulkFunctions(isWide)) as BulkOperations;
}

function instantiate(ram: RamMemory, isWide: boolean, functions: readonly WasmFunction[]): unknown {
  const pages = ram.buffer.byteLength / WASM_PAGE_BYTES;
  return new wasm.Instance(new wasm.Module(wasmModule(functions, { pages, isWide })), { machine: { ram } })
    .exports;
}

/** log2 of the bytes it works on; parameters beside the address; whether it returns the value before. */
interface AtomicInstruction {
  readonly name: keyof AtomicOperations;
  readonly opcode: number;
  readonly align: 0 | 1 | 2;
  readonly operands: number;
  readonly returns: boolean;
}
const OPERATIONS: readonly AtomicInstruction[] = [
  { name: "load", opcode: 0x10, align: 2, operands: 0, returns: true },
  { name: "store", opcode: 0x17, align: 2, operands: 1, returns: false },
  { name: "cas", opcode: 0x48, align: 2, operands: 2, returns: true },
  { name: "add", opcode: 0x1e, align: 2, operands: 1, returns: true },
  { name: "and", opcode: 0x2c, align: 2, operands: 1, returns: true },
  { name: "or", opcode: 0x33, align: 2, operands: 1, returns: true },
  { name: "exchange", opcode: 0x41, align: 2, operands: 1, returns: true },
  { name: "loadByte", opcode: 0x12, align: 0, operands: 0, returns: true },
  { name: "storeByte", opcode: 0x19, align: 0, operands: 1, returns: false },
  { name: "casByte", opcode: 0x4a, align: 0, operands: 2, returns: true },
  { name: "exchangeHalf", opcode: 0x44, align: 1, operands: 1, returns: true },
];

function atomicFunction(instruction: AtomicInstruction, isWide: boolean): WasmFunction {
  const { name, opcode, align, operands, returns } = instruction;
  const isByte = align < 2;
  const { I32, F64 } = ValueType;
  const code = isByte ? byteAddress(isWide) : wordAddress(0, isWide);
  for (let i = 1; i <= operands; i++) code.push(Op.LOCAL_GET, i);
  code.push(Op.ATOMIC, opcode, align, 0);
  return {
    name,
    parameters: Array.from({ length: 1 + operands }, (_, i) => (i === 0 && isByte && isWide ? F64 : I32)),
    results: returns ? [I32] : [],
    locals: 0,
    code,
  };
}

/** Leaves parameter 0, a byte address, on the stack. */
function byteAddress(isWide: boolean): number[] {
  return isWide ? [Op.LOCAL_GET, 0, Op.I64_TRUNC_F64_U] : [Op.LOCAL_GET, 0];
}
