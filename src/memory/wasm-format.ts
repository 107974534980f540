/**
 * The binary format of WebAssembly, as far as functions over RAM need it.
 *
 * Source: https://webassembly.github.io/spec/core/binary, and the threads proposal's instructions.
 */

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const Section = { TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, CODE: 10 } as const;
export const ValueType = { I32: 0x7f, F64: 0x7c } as const;

/** Instructions; those of ATOMIC and BULK have an opcode of their own behind it. */
export const Op = {
  IF: 0x04,
  END: 0x0b,
  RETURN: 0x0f,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  I32_LOAD: 0x28,
  I64_LOAD: 0x29,
  I32_STORE: 0x36,
  I64_STORE: 0x37,
  I32_CONST: 0x41,
  I64_CONST: 0x42,
  I32_NE: 0x47,
  I32_ADD: 0x6a,
  I32_SHL: 0x74,
  I64_ADD: 0x7c,
  I64_SHL: 0x86,
  I64_EXTEND_I32_U: 0xad,
  I64_TRUNC_F64_U: 0xb1,
  ATOMIC: 0xfe,
  BULK: 0xfc,
  /** Behind BULK. */
  MEMORY_COPY: 0x0a,
  MEMORY_FILL: 0x0b,
} as const;

export interface WasmFunction {
  readonly name: string;
  /** Types of the parameters, and of what it returns. */
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Number of i32 locals behind the parameters. */
  readonly locals: number;
  /** Instructions, without the last END. */
  readonly code: readonly number[];
}

/** A module that exports `functions` and imports a shared memory of exactly `pages` as `machine.ram`. */
export function wasmModule(
  functions: readonly WasmFunction[],
  memory: { pages: number; isWide: boolean },
): Uint8Array<ArrayBuffer> {
  const limits = [memory.isWide ? 0x07 : 0x03, ...unsigned(memory.pages), ...unsigned(memory.pages)];
  const types = functions.map(({ parameters, results }) => [0x60, ...list(parameters), ...list(results)]);
  const bodies = functions.map(({ locals, code }) => {
    const body = [...(locals === 0 ? [0] : [1, locals, ValueType.I32]), ...code, Op.END];
    return [...unsigned(body.length), ...body];
  });
  return new Uint8Array([
    ...MAGIC_AND_VERSION,
    ...section(Section.TYPE, vector(types)),
    ...section(Section.IMPORT, vector([[...text("machine"), ...text("ram"), 0x02, ...limits]])),
    ...section(Section.FUNCTION, vector(functions.map((_, i) => [i]))),
    ...section(Section.EXPORT, vector(functions.map(({ name }, i) => [...text(name), 0x00, i]))),
    ...section(Section.CODE, vector(bodies)),
  ]);
}

/** Leaves the byte address of the word whose index is in `local` on the stack. */
export function wordAddress(local: number, isWide: boolean): number[] {
  return isWide
    ? [Op.LOCAL_GET, local, Op.I64_EXTEND_I32_U, Op.I64_CONST, 2, Op.I64_SHL]
    : [Op.LOCAL_GET, local, Op.I32_CONST, 2, Op.I32_SHL];
}

/** Leaves the bytes of as many words as `local` says: sizes are as wide as addresses. */
export const wordsToBytes = wordAddress;

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
const vector = (items: readonly number[][]): number[] => [...unsigned(items.length), ...items.flat()];
const list = (items: readonly number[]): number[] => [...unsigned(items.length), ...items];
const text = (name: string): number[] => list([...name].map((letter) => letter.charCodeAt(0)));

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}
