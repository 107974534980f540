/**
 * The two common steps of a spinlock, each as one WebAssembly function: the whole of taking a free lock, and of giving
 * one back that nobody waits for.
 *
 * A plain access of JavaScript to RAM costs 0.8 ns, since V8 loads the array anew after each call; inside one function
 * it costs a third of that, and the atomic instruction dominates as it does in C.  The steps mean what they say in terms
 * of `Memory`; where each access must be seen or charged, the lock does them one by one instead (sync/spinlock).
 *
 * Layout: a lock's words are value, extra, owner, class; counts are 64 bits, 16 words apart, one for each class.
 */

import { Op, ValueType, type WasmFunction, wordAddress } from "./wasm-format.ts";

export interface LockSteps {
  /**
   * `cas(lock, 0, 1)`; if that finds 0: `write(lock + 2, owner)`, adds 1 to the count of class `read(lock + 3)`, and
   * returns 1.  Else 0.
   */
  take(lock: number, owner: number, counts: number): number;
  /** If `read(lock + 2)` is `owner`: `write(lock + 2, 0)`, and returns `casByte(lock * 4, 1, 0)`.  Else NOT_OWNER. */
  give(lock: number, owner: number): number;
}

/** What `give` returns to who does not hold the lock. */
export const NOT_OWNER = -1;

const OWNER_BYTES = 8;
const CLASS_BYTES = 12;
const COUNT_SHIFT = 4;
const ALIGN_BYTE = 0;
const ALIGN_WORD = 2;
const ALIGN_DOUBLE = 3;
const CAS_WORD = 0x48;
const CAS_BYTE = 0x4a;
const VOID = 0x40;
const MINUS_ONE = 0x7f;
const [LOCK, OWNER, COUNTS, COUNT] = [0, 1, 2, 3];

export function takeFunction(isWide: boolean): WasmFunction {
  const { I32 } = ValueType;
  const lock = wordAddress(LOCK, isWide);
  const count = wordAddress(COUNT, isWide);
  return {
    name: "take",
    parameters: [I32, I32, I32],
    results: [I32],
    locals: 1,
    code: [
      [...lock, Op.I32_CONST, 0, Op.I32_CONST, 1, Op.ATOMIC, CAS_WORD, ALIGN_WORD, 0],
      [Op.IF, VOID, Op.I32_CONST, 0, Op.RETURN, Op.END],
      [...lock, Op.LOCAL_GET, OWNER, Op.I32_STORE, ALIGN_WORD, OWNER_BYTES],
      [...lock, Op.I32_LOAD, ALIGN_WORD, CLASS_BYTES, Op.I32_CONST, COUNT_SHIFT, Op.I32_SHL],
      [Op.LOCAL_GET, COUNTS, Op.I32_ADD, Op.LOCAL_SET, COUNT],
      [...count, ...count, Op.I64_LOAD, ALIGN_DOUBLE, 0, Op.I64_CONST, 1, Op.I64_ADD],
      [Op.I64_STORE, ALIGN_DOUBLE, 0],
      [Op.I32_CONST, 1],
    ].flat(),
  };
}

export function giveFunction(isWide: boolean): WasmFunction {
  const { I32 } = ValueType;
  const lock = wordAddress(LOCK, isWide);
  return {
    name: "give",
    parameters: [I32, I32],
    results: [I32],
    locals: 0,
    code: [
      [...lock, Op.I32_LOAD, ALIGN_WORD, OWNER_BYTES, Op.LOCAL_GET, OWNER, Op.I32_NE],
      [Op.IF, VOID, Op.I32_CONST, MINUS_ONE, Op.RETURN, Op.END],
      [...lock, Op.I32_CONST, 0, Op.I32_STORE, ALIGN_WORD, OWNER_BYTES],
      [...lock, Op.I32_CONST, 1, Op.I32_CONST, 0, Op.ATOMIC, CAS_BYTE, ALIGN_BYTE, 0],
    ].flat(),
  };
}
