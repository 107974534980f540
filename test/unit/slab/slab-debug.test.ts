/** SLUB's debugging: each way to damage an object is committed, and must be reported, with who did it, and mended. */

import { describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { SlabPage } from "../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache, KmemCacheNode } from "../../../src/mm/slab/kmem-cache.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const { CONSISTENCY_CHECKS, RED_ZONE, POISON, STORE_USER } = SlabFlag;
const ALL = CONSISTENCY_CHECKS | RED_ZONE | POISON | STORE_USER;
/** 30 bytes: two bytes of right red zone, a free pointer behind them. */
const BYTES = 30;

interface Scene extends Kernels {
  readonly kernel: Kernel;
  readonly cache: Pointer;
  readonly object: Pointer;
  byte(offset: number): number;
  write(offset: number, value: number): void;
  free(object?: Pointer): void;
  /** The log since the last call. */
  log(): string[];
}

function scene(flags = ALL, objectBytes = BYTES, config: MachineConfig = {}): Scene {
  const machine = kernelsOf({ cpus: 2, ...config });
  const [kernel] = machine.kernels;
  const { slabs, memory } = kernel;
  const cache = slabs.create({ name: "damaged", objectBytes, flags });
  const object = slabs.alloc(cache, Gfp.KERNEL);
  return {
    ...machine,
    kernel,
    cache,
    object,
    byte: (offset) => memory.readByte(object * 4 + offset),
    write: (offset, value) => memory.writeByte(object * 4 + offset, value),
    free: (which = object) => slabs.free(cache, which),
    log: () => kernel.takeLog(),
  };
}

const titles = (log: readonly string[]): string[] =>
  log.filter((line) => line.startsWith("BUG ")).map((line) => line.replace(/^BUG damaged \([^)]*\): /, ""));
const fixes = (log: readonly string[]): string[] =>
  log
    .filter((line) => line.startsWith("FIX "))
    .map((line) => line.replace(/^FIX damaged: /, "").replace(/0x[0-9a-f]{8}/g, "#"));

describe("the bytes of an object", () => {
  test("say whether it is in use", () => {
    const s = scene();
    const bytes = (from: number, count: number): number[] =>
      Array.from({ length: count }, (_, i) => s.byte(from + i));
    expect(bytes(-8, 8)).toEqual(new Array(8).fill(0xcc));
    expect(bytes(0, BYTES)).toEqual([...new Array(BYTES - 1).fill(0x6b), 0xa5]);
    expect(bytes(30, 2)).toEqual([0xcc, 0xcc]);
    expect(bytes(104, 8)).toEqual(new Array(8).fill(0x5a));
    s.free();
    expect(bytes(-8, 8)).toEqual(new Array(8).fill(0xbb));
    expect(bytes(30, 2)).toEqual([0xbb, 0xbb]);
    expect(s.log()).toEqual([]);
  });

  test("are zeroed exactly, when asked", () => {
    const s = scene();
    const zeroed = s.kernel.slabs.alloc(s.cache, Gfp.KERNEL | GfpFlag.ZERO);
    expect(s.kernel.memory.readByte(zeroed * 4 + BYTES - 1)).toBe(0);
    s.free(zeroed);
    expect(s.log()).toEqual([]);
  });

  test("of a constructor's or a TYPESAFE_BY_RCU cache are not poisoned", () => {
    const s = scene(ALL | SlabFlag.TYPESAFE_BY_RCU, 32);
    s.write(4, 77);
    s.free();
    expect(s.byte(4)).toBe(77);
    expect(s.kernel.slabs.alloc(s.cache, Gfp.KERNEL)).toBe(s.object);
    expect(s.log()).toEqual([]);
  });
});

describe("damage is reported and mended", () => {
  test.each<[string, number, number, string, string]>([
    ["before the object", -1, 0, "Left Redzone overwritten", "Restoring Left Redzone #-#=0xcc"],
    ["behind it", 30, 0, "Right Redzone overwritten", "Restoring Right Redzone #-#=0xcc"],
    ["behind everything", 111, 0, "Object padding overwritten", "Restoring Object padding #-#=0x5a"],
  ])("%s, when it is freed", (_what, offset, value, title, fix) => {
    const s = scene();
    s.write(offset, value);
    s.free();
    const log = s.log();
    expect(titles(log)).toEqual([title]);
    expect(fixes(log)).toEqual([fix, "Object at # not freed"]);
    // It stays in use, and what was damaged is as it should be.
    expect(checkSlabs(s.kernel.slabs).find(({ name }) => name === "damaged")?.active).toBe(1);
    s.free();
    expect(s.log()).toEqual([]);
    s.check();
  });

  test.each<[string, number, number, string]>([
    ["the object", 5, 0x6c, "Poison overwritten"],
    ["its last byte", 29, 0x6b, "End Poison overwritten"],
    ["its free pointer", 33, 0x77, "Freepointer corrupt"],
  ])("%s, written to after the free, when it is taken", (_what, offset, value, title) => {
    const s = scene();
    s.free();
    s.write(offset, value);
    const next = s.kernel.slabs.alloc(s.cache, Gfp.KERNEL);
    const log = s.log();
    expect(titles(log)).toEqual([title]);
    expect(fixes(log).at(-1)).toBe("Marking all objects used");
    // Another slab serves; the damaged one is out of use.
    const slabOf = (object: Pointer): Pointer => s.kernel.slabs.slabs.slabOf(object);
    expect(slabOf(next)).not.toBe(slabOf(s.object));
    s.free(next);
    s.free();
    expect(titles(s.log())).toEqual(["Slab disabled since SLUB metadata consistency check failed"]);
    s.check();
  });

  test("an object freed twice, an address that is no object, and another cache's object", () => {
    const s = scene();
    const other = s.kernel.slabs.create({ name: "other", objectBytes: BYTES, flags: ALL });
    s.free();
    s.free();
    expect(titles(s.log())).toEqual(["Slab has 0 allocated objects but 1 are to be freed"]);
    const held = s.kernel.slabs.alloc(s.cache, Gfp.KERNEL);
    const again = s.kernel.slabs.alloc(s.cache, Gfp.KERNEL);
    s.free(again);
    s.free(again);
    expect(titles(s.log())).toEqual(["Object already free"]);
    s.free(s.object + 1);
    const [title] = titles(s.log());
    expect(title).toBe(`Invalid object pointer 0x${((s.object + 1) * 4).toString(16).padStart(8, "0")}`);
    const mine = s.kernel.slabs.alloc(s.cache, Gfp.KERNEL);
    s.kernel.slabs.free(other, mine);
    s.free(held);
    const log = s.log();
    expect(log[0]).toBe("cache_from_obj: Wrong slab cache. other but object is from damaged");
    expect(log[1]).toMatch(/^Allocated in /);
    s.free(4 << 10);
    expect(s.log()[0]).toMatch(/^virt_to_cache: Object is not a Slab page!/);
    expect(checkSlabs(s.kernel.slabs).find(({ name }) => name === "damaged")?.active).toBe(0);
    s.check();
  });

  test("the bytes behind the last object of a slab", () => {
    const s = scene();
    const { memory, slabs } = s.kernel;
    const base = slabs.slabs.baseOf(slabs.slabs.slabOf(s.object));
    memory.writeByte(base * 4 + 4095, 1);
    s.free();
    const log = s.log();
    expect(titles(log)[0]).toMatch(/^Padding overwritten. 0x\w{8}-0x\w{8} @offset=\d+$/);
    expect(fixes(log)).toEqual(["Restoring slab padding #-#=0x5a"]);
    expect(memory.readByte(base * 4 + 4095)).toBe(0x5a);
  });

  test("a broken free list and wrong counts, when another object is freed", () => {
    const s = scene();
    const { memory, slabs } = s.kernel;
    const objects = Array.from({ length: 4 }, () => slabs.alloc(s.cache, Gfp.KERNEL));
    s.free(objects[0]);
    s.free(objects[1]);
    // The second free object points nowhere.
    memory.write(objects[0] + 8, 12345);
    s.free(objects[2]);
    expect(titles(s.log())).toEqual(["Freechain corrupt", expect.stringMatching(/^Wrong object count/)]);
    expect(fixes(s.log())).toEqual([]);
    const slab = slabs.slabs.slabOf(s.object);
    memory.store(slab + SlabPage.counters, memory.load(slab + SlabPage.counters) + 1);
    s.free(objects[3]);
    expect(titles(s.log())).toEqual([
      expect.stringMatching(/^Wrong object count. Counter is \d+ but counted were \d+$/),
    ]);
    s.check();
  });
});

test("a report says cache, object, slab, who took and freed it, and the bytes", () => {
  const s = scene();
  const [first, second] = s.kernels;
  function retire(): void {
    second.slabs.free(s.cache, s.object);
  }
  retire();
  s.write(5, 0x6c);
  first.slabs.alloc(s.cache, Gfp.KERNEL);
  const log = s.log();
  const at = (offset: number): string => `0x${(s.object * 4 + offset).toString(16).padStart(8, "0")}`;
  expect(log.slice(0, 6)).toEqual([
    "=".repeat(77),
    "BUG damaged (Not tainted): Poison overwritten",
    "-".repeat(77),
    "",
    `${at(5)}-${at(5)} @offset=13. First byte 0x6c instead of 0x6b`,
    `FIX damaged: Restoring Poison ${at(5)}-${at(5)}=0x6b`,
  ]);
  expect(log[6]).toMatch(
    /^Allocated in scene \(test\/unit\/slab\/slab-debug.test.ts:\d+\) age=0 cpu=0 pid=1$/,
  );
  expect(log[7]).toMatch(/^Freed in retire \(test\/unit\/slab\/slab-debug.test.ts:\d+\) age=0 cpu=1 pid=2$/);
  expect(log[8]).toMatch(/^Slab 0x\w+ objects=34 used=1 fp=0x\w{8} flags=0x\w{8}$/);
  expect(log[9]).toMatch(/^Object 0x\w{8} @offset=8 fp=0x\w{8}$/);
  expect(log.slice(10, 15)).toEqual([
    "",
    `Redzone  ${at(-8).slice(2)}: ${"bb ".repeat(8)}${" ".repeat(24)} ........`,
    `Object   ${at(0).slice(2)}: ${"6b ".repeat(16)} ${"k".repeat(16)}`,
    `Object   ${at(16).slice(2)}: ${"6b ".repeat(13)}a5 ${" ".repeat(6)} ${"k".repeat(13)}.`,
    `Redzone  ${at(30).slice(2)}: bb bb ${" ".repeat(42)} ..`,
  ]);
  expect(log[15]).toBe(`Padding  ${at(104).slice(2)}: ${"5a ".repeat(8)}${" ".repeat(24)} ZZZZZZZZ`);
  // The next one says that there was one before.
  s.free();
  expect(s.log()[1]).toMatch(/^BUG damaged \(Tainted: G {4}B {13}\): /);
});

describe("settings", () => {
  test("slabPanic stops the machine at the first report", () => {
    const s = scene(ALL, BYTES, { slabPanic: true });
    s.write(30, 0);
    expect(() => s.free()).toThrow("BUG damaged (Not tainted): Right Redzone overwritten");
  });

  test.each<[string, string, number]>([
    ["FZPU", "damaged", ALL],
    ["zp", "damaged", RED_ZONE | POISON],
    [",damaged", "damaged", ALL],
    ["F,dam*", "damaged", CONSISTENCY_CHECKS],
    ["F,dam", "damaged", 0],
    ["U;F,dam*,x", "damaged", CONSISTENCY_CHECKS],
    ["U;F,dam*,x", "else", STORE_USER],
    ["-;P,damaged", "else", 0],
    ["OFZ", "damaged", CONSISTENCY_CHECKS | RED_ZONE],
  ])("slabDebug %s debugs %s", (slabDebug, name, expected) => {
    const [{ slabs, memory }] = kernelsOf({ cpus: 1, slabDebug }).kernels;
    const cache = slabs.create({ name, objectBytes: 64 });
    expect(memory.read(cache + KmemCache.flags) & ALL).toBe(expected);
  });

  test("slabDebug O leaves out what would need a higher order", () => {
    const [{ slabs, memory }] = kernelsOf({ cpus: 1, slabDebug: "FZO" }).kernels;
    const cache = slabs.create({ name: "page", objectBytes: 4096 });
    expect(memory.read(cache + KmemCache.flags) & ALL).toBe(CONSISTENCY_CHECKS);
  });

  test.each([
    ["FQ", /slabDebug: "FQ" is not valid: option "Q" of "FQ" is unknown; valid are F, Z, P, U, O and -/],
    ["F,a*b", /cache "a\*b" of "F,a\*b": a "\*" is valid at the end/],
  ])("slabDebug %s is refused", (slabDebug, message) => {
    expect(() => kernelsOf({ cpus: 1, slabDebug })).toThrow(message);
  });

  test("every cache under debugging, the first ones too, works and comes back", () => {
    const machine = kernelsOf({ cpus: 2, slabDebug: "FZPU" });
    const [{ slabs }, other] = machine.kernels;
    const options = { name: "all", objectBytes: 200 };
    const cache = slabs.create(options);
    const objects = Array.from({ length: 100 }, () => slabs.alloc(cache, Gfp.KERNEL));
    other.slabs.freeBulk(cache, objects.splice(0, 60));
    machine.check();
    expect(slabs.validate(cache)).toEqual({ slabs: expect.any(Number), errors: 0 });
    slabs.freeBulk(cache, objects);
    expect(slabs.destroy(cache)).toBe(true);
    machine.check();
    expect(machine.kernels.flatMap((kernel) => kernel.takeLog())).toEqual([]);
  });
});

test("validate looks at all objects, in use or not, and counts what it reports", () => {
  const s = scene();
  const { slabs, memory } = s.kernel;
  const objects = Array.from({ length: 40 }, () => slabs.alloc(s.cache, Gfp.KERNEL));
  s.free(objects[3]);
  expect(slabs.validate(s.cache)).toEqual({ slabs: 2, errors: 0 });
  memory.writeByte(objects[2] * 4 + BYTES, 0);
  memory.writeByte(objects[3] * 4 + 1, 0);
  expect(slabs.validate(s.cache)).toEqual({ slabs: 2, errors: 2 });
  expect(titles(s.log())).toEqual(
    expect.arrayContaining(["Right Redzone overwritten", "Poison overwritten"]),
  );
  // Both were mended.
  expect(slabs.validate(s.cache)).toEqual({ slabs: 2, errors: 0 });
  const node = memory.read(s.cache + KmemCache.nodes);
  memory.write(node + KmemCacheNode.nrPartial, 7);
  expect(slabs.validate(s.cache).errors).toBe(1);
  expect(s.log()).toEqual(["SLUB damaged: 2 partial slabs counted but counter=7"]);
});

test("a cache that cannot end names the objects that are left, and who took them", () => {
  const s = scene();
  const { slabs } = s.kernel;
  const freed = slabs.alloc(s.cache, Gfp.KERNEL);
  slabs.free(s.cache, freed);
  expect(slabs.destroy(s.cache)).toBe(false);
  const log = s.log();
  expect(titles(log)).toEqual(["Objects remaining in damaged on __kmem_cache_shutdown()"]);
  expect(log.filter((line) => line.startsWith("Object ")).length).toBe(1);
  expect(log.at(-2)).toMatch(/^Allocated in scene \(/);
  expect(log.at(-1)).toBe("kmem_cache_destroy damaged: Slab cache still has objects");
  s.free();
  expect(slabs.destroy(s.cache)).toBe(true);
});

test("all pages come back with the last cache that stores its users", () => {
  const machine = kernelsOf({ cpus: 1 });
  const [{ slabs }] = machine.kernels;
  slabs.destroy(slabs.create({ name: "warm", objectBytes: BYTES }));
  const before = machine.check();
  const caches = ["a", "b"].map((name) => slabs.create({ name, objectBytes: BYTES, flags: ALL }));
  for (const cache of caches) slabs.free(cache, slabs.alloc(cache, Gfp.KERNEL));
  for (const cache of caches) expect(slabs.destroy(cache)).toBe(true);
  expect(machine.check()).toBe(before);
});

test("full slabs are on a list with STORE_USER only", () => {
  for (const [flags, full] of [
    [ALL, 1],
    [RED_ZONE, 0],
  ]) {
    const s = scene(flags);
    const { slabs, memory } = s.kernel;
    const head = memory.read(s.cache + KmemCache.nodes) + KmemCacheNode.full;
    const inSlab = memory.read(s.cache + KmemCache.objects);
    const objects = Array.from({ length: inSlab - 1 }, () => slabs.alloc(s.cache, Gfp.KERNEL));
    expect(memory.read(head) === head ? 0 : 1).toBe(full);
    s.check();
    slabs.freeBulk(s.cache, objects);
    expect(memory.read(head)).toBe(head);
    s.check();
  }
});
