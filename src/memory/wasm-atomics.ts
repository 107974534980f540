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
  const { byteLength } = ram.buffer;
  const module = new wasm.Module(assemble(byteLength / WASM_PAGE_BYTES, byteLength > MAX_BYTES_32));
  return new wasm.Instance(module, { machine: { ram } }).exports as AtomicOperations;
}

// ---- the binary format: https://webassembly.github.io/spec/core/binary ----

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const I32 = 0x7f;
const F64 = 0x7c;
const Section = { TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, CODE: 10 } as const;
const Op = {
  END: 0x0b,
  LOCAL_GET: 0x20,
  I32_CONST: 0x41,
  I64_CONST: 0x42,
  I32_SHL: 0x74,
  I64_SHL: 0x86,
  I64_EXTEND_I32_U: 0xad,
  I64_TRUNC_F64_U: 0xb1,
  ATOMIC: 0xfe,
} as const;
/** Words and bytes; parameters beside the address; whether it returns the value before. */
const OPERATIONS: readonly {
  name: keyof AtomicOperations;
  opcode: number;
  isByte: boolean;
  operands: number;
  returns: boolean;
}[] = [
  { name: "load", opcode: 0x10, isByte: false, operands: 0, returns: true },
  { name: "store", opcode: 0x17, isByte: false, operands: 1, returns: false },
  { name: "cas", opcode: 0x48, isByte: false, operands: 2, returns: true },
  { name: "add", opcode: 0x1e, isByte: false, operands: 1, returns: true },
  { name: "and", opcode: 0x2c, isByte: false, operands: 1, returns: true },
  { name: "or", opcode: 0x33, isByte: false, operands: 1, returns: true },
  { name: "exchange", opcode: 0x41, isByte: false, operands: 1, returns: true },
  { name: "loadByte", opcode: 0x12, isByte: true, operands: 0, returns: true },
  { name: "storeByte", opcode: 0x19, isByte: true, operands: 1, returns: false },
  { name: "casByte", opcode: 0x4a, isByte: true, operands: 2, returns: true },
];

function assemble(pages: number, wide: boolean): Uint8Array<ArrayBuffer> {
  const types = OPERATIONS.map(({ isByte, operands, returns }) => [
    0x60,
    ...vector(Array.from({ length: 1 + operands }, (_, i) => [i === 0 && isByte && wide ? F64 : I32])),
    ...vector(returns ? [[I32]] : []),
  ]);
  const limits = [wide ? 0x07 : 0x03, ...unsigned(pages), ...unsigned(pages)];
  const bodies = OPERATIONS.map((operation) => {
    const body = [0, ...addressCode(operation.isByte, wide)];
    for (let i = 1; i <= operation.operands; i++) body.push(Op.LOCAL_GET, i);
    body.push(Op.ATOMIC, operation.opcode, operation.isByte ? 0 : 2, 0, Op.END);
    return [...unsigned(body.length), ...body];
  });
  return new Uint8Array([
    ...MAGIC_AND_VERSION,
    ...section(Section.TYPE, vector(types)),
    ...section(Section.IMPORT, vector([[...text("machine"), ...text("ram"), 0x02, ...limits]])),
    ...section(Section.FUNCTION, vector(OPERATIONS.map((_, i) => [i]))),
    ...section(Section.EXPORT, vector(OPERATIONS.map(({ name }, i) => [...text(name), 0x00, i]))),
    ...section(Section.CODE, vector(bodies)),
  ]);
}

/** Leaves the byte address of parameter 0 on the stack. */
function addressCode(isByte: boolean, wide: boolean): number[] {
  if (!wide) return isByte ? [Op.LOCAL_GET, 0] : [Op.LOCAL_GET, 0, Op.I32_CONST, 2, Op.I32_SHL];
  if (isByte) return [Op.LOCAL_GET, 0, Op.I64_TRUNC_F64_U];
  return [Op.LOCAL_GET, 0, Op.I64_EXTEND_I32_U, Op.I64_CONST, 2, Op.I64_SHL];
}

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
const vector = (items: readonly number[][]): number[] => [...unsigned(items.length), ...items.flat()];
const text = (name: string): number[] => vector([...name].map((letter) => [letter.charCodeAt(0)]));

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}
