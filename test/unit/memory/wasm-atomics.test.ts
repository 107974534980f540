/** Each operation does to RAM what `Atomics` does to an array, with 32-bit and with 64-bit addresses. */

import { describe, expect, test } from "vitest";
import { NOT_OWNER } from "../../../src/memory/lock-steps.ts";
import {
  type AtomicOperations,
  atomicsOf,
  bulkOf,
  createRam,
  lockStepsOf,
} from "../../../src/memory/wasm-atomics.ts";

describe.each([
  ["small, 32-bit addresses", 1 << 20, 10_000],
  ["8 GiB, 64-bit addresses", 8 * 2 ** 30, 2 ** 31 - 3],
])("%s", (_name, bytes, address) => {
  const ram = createRam(bytes);
  const words = new Int32Array(ram.buffer);
  const lanes = new Uint8Array(ram.buffer);
  const halves = new Uint16Array(ram.buffer);
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
    exchangeHalf: (at, value) => Atomics.exchange(halves, at / 2, value),
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
    ["exchangeHalf", [0xabcd]],
    ["exchangeHalf", [0x1ffff]],
  ];

  test("bulk operations fill and copy exactly their words, overlapping ones too", () => {
    const bulk = bulkOf(ram);
    const [length, first] = [1500, address - 4000];
    const area = words.subarray(first, first + length);
    const start = Int32Array.from({ length }, (_, i) => i * 0x01234567);
    const check = (ours: () => void, theirs: (model: Int32Array) => void): void => {
      area.set(start);
      const model = start.slice();
      ours();
      theirs(model);
      expect(Buffer.from(area.slice().buffer).equals(Buffer.from(model.buffer))).toBe(true);
    };
    for (const [at, count, byte] of [
      [3, 1024, 0],
      [1, 1, 0x6b],
      [0, length, 0xff],
      [7, 0, 1],
    ])
      check(
        () => bulk.fill(first + at, count, byte),
        (model) => model.fill(byte * 0x01010101, at, at + count),
      );
    for (const [to, from, count] of [
      [0, 400, 1024],
      [400, 0, 1024],
      [9, 8, 700],
      [5, 5, 0],
    ])
      check(
        () => bulk.copy(first + to, first + from, count),
        (model) => model.copyWithin(to, from, from + count),
      );
  });

  test.each(operands)("%s %j", (name, args) => {
    const at = /Byte|Half/.test(name) ? address * 4 : address;
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

describe.each([
  ["small, 32-bit addresses", 1 << 20, 1024],
  ["8 GiB, 64-bit addresses", 8 * 2 ** 30, 2 ** 31 - 4096],
])("lock steps, %s", (_name, bytes, lock) => {
  const ram = createRam(bytes);
  const words = new Int32Array(ram.buffer);
  const steps = lockStepsOf(ram);
  const counts = lock + 64;
  const count = counts + 16 * 3;

  test("taking a free lock writes word, owner and count; a held one is left alone", () => {
    words.set([0, 5, 0, 3], lock);
    words.set([-1, 6], count);
    expect(steps.take(lock, 9, counts)).toBe(1);
    expect([...words.subarray(lock, lock + 4)]).toEqual([1, 5, 9, 3]);
    expect([...words.subarray(count, count + 2)]).toEqual([0, 7]);
    expect(steps.take(lock, 8, counts)).toBe(0);
    expect([...words.subarray(lock, lock + 4)]).toEqual([1, 5, 9, 3]);
    expect([...words.subarray(count, count + 2)]).toEqual([0, 7]);
  });

  test("giving it back clears the owner, and the byte if nobody waits", () => {
    words.set([0x40001, 5, 9, 3], lock);
    expect(steps.give(lock, 8)).toBe(NOT_OWNER);
    expect([...words.subarray(lock, lock + 4)]).toEqual([0x40001, 5, 9, 3]);
    expect(steps.give(lock, 9)).toBe(1);
    expect([...words.subarray(lock, lock + 4)]).toEqual([0x40000, 5, 0, 3]);
    words.set([0x40003, 5, 9, 3], lock);
    expect(steps.give(lock, 9)).toBe(3);
    expect([...words.subarray(lock, lock + 4)]).toEqual([0x40003, 5, 0, 3]);
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
