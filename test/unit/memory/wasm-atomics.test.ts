/** Each operation does to RAM what `Atomics` does to an array, with 32-bit and with 64-bit addresses. */

import { describe, expect, test } from "vitest";
import { type AtomicOperations, atomicsOf, createRam } from "../../../src/memory/wasm-atomics.ts";

describe.each([
  ["small, 32-bit addresses", 1 << 20, 1000],
  ["8 GiB, 64-bit addresses", 8 * 2 ** 30, 2 ** 31 - 3],
])("%s", (_name, bytes, address) => {
  const ram = createRam(bytes);
  const words = new Int32Array(ram.buffer);
  const lanes = new Uint8Array(ram.buffer);
  const ours = atomicsOf(ram);
  const theirs: AtomicOperations = {
    load: (at) => Atomics.load(words, at),
    store: (at, value) => void Atomics.store(words, at, value),
    cas: (at, expected, replacement) => Atomics.compareExchange(words, at, expected, replacement),
    add: (at, value) => Atomics.add(words, at, value),
    and: (at, value) => Atomics.and(words, at, value),
    or: (at, value) => Atomics.or(words, at, value),
    exchange: (at, value) => Atomics.exchange(words, at, value),
    loadByte: (at) => Atomics.load(lanes, at),
    storeByte: (at, value) => void Atomics.store(lanes, at, value),
    casByte: (at, expected, replacement) => Atomics.compareExchange(lanes, at, expected, replacement),
  };
  const operands: [keyof AtomicOperations, number[]][] = [
    ["load", []],
    ["store", [-7]],
    ["store", [0x80000000]],
    ["cas", [0x12345678, 99]],
    ["cas", [5, 99]],
    ["add", [-3]],
    ["add", [0x7fffffff]],
    ["and", [0xffff]],
    ["or", [0x80000001]],
    ["exchange", [-1]],
    ["loadByte", []],
    ["storeByte", [0x1ff]],
    ["casByte", [0x78, 0xff]],
    ["casByte", [0x79, 0xff]],
  ];

  test.each(operands)("%s %j", (name, args) => {
    const at = name.endsWith("Byte") ? address * 4 : address;
    const results = [theirs, ours].map((operations) => {
      words[address - 1] = 11;
      words[address] = 0x12345678;
      words[address + 1] = 22;
      const before = (operations[name] as (...all: number[]) => number | undefined)(at, ...args);
      return [before, words[address - 1], words[address], words[address + 1]];
    });
    expect(results[1]).toEqual(results[0]);
  });
});

test("RAM has the size that was asked for, in steps of 64 KiB, and is zero", () => {
  expect(createRam(1).buffer.byteLength).toBe(65536);
  expect(createRam(65537).buffer.byteLength).toBe(131072);
  expect(new Int32Array(createRam(65536).buffer).every((word) => word === 0)).toBe(true);
});

test("an address past the end is an error", () => {
  expect(() => atomicsOf(createRam(65536)).load(16384)).toThrow("memory access out of bounds");
});
