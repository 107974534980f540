/** /proc/slabinfo, /sys/kernel/slab and the lines of meminfo: read by one grammar with the host's, and exact in a scene. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { orRefusal, renderReport } from "../../../src/machine/inspect.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { meminfo } from "../../../src/procfs/meminfo.ts";
import { slabinfo, slabinfoLine } from "../../../src/procfs/slabinfo.ts";
import { sysSlab, sysSlabFiles } from "../../../src/procfs/sys-slab.ts";
import { hostFile } from "../../support/host-proc.ts";
import { kernelsOf } from "../../support/kernels.ts";
import { parseMeminfo } from "../../support/proc-grammar.ts";
import { checkSlabFile, parseSlabinfo, slabFileNames } from "../../support/slab-grammar.ts";

/**
 * Four objects of 8 KiB a slab.  CPU 0 allocates from one and has another on its own list, of those that CPU 1 has half
 * emptied and given up; two are full; one of three objects is on node 0's list.
 */
function scene(): Kernel {
  const { kernels } = kernelsOf({ cpus: 2, nodes: 2, memory: "64MiB" });
  const [first, second] = kernels;
  const cache = first.slabs.create({ name: "scene", objectBytes: 8192, flags: SlabFlag.RECLAIM_ACCOUNT });
  const take = (kernel: Kernel, count: number): number[] =>
    Array.from({ length: count }, () => kernel.slabs.allocNode(cache, Gfp.KERNEL | GfpFlag.THISNODE, 0));
  const given = take(second, 8);
  for (const i of [0, 1, 4, 5]) second.slabs.free(cache, given[i]);
  second.slabs.allocator.flushHere(cache);
  const own = take(first, 10);
  first.slabs.free(cache, own[5]);
  const last = take(second, 4);
  second.slabs.free(cache, last[0]);
  second.slabs.allocator.flushHere(cache);
  return first;
}

const read = (kernel: Kernel, file: string): string => sysSlab(kernel, `sys/kernel/slab/scene/${file}`);

test("slabinfo: one grammar for the host and us, one way to print both", () => {
  const { kernels } = kernelsOf({ cpus: 1 });
  const { heap } = kernels[0];
  for (const bytes of [8, 100, 5000]) heap.kmalloc(bytes, Gfp.KERNEL);
  for (const text of [slabinfo(kernels[0]), hostFile("slabinfo")]) {
    if (text === null) continue;
    const rows = parseSlabinfo(text);
    expect(rows.length).toBeGreaterThan(50);
    const printed = rows.map(({ name, objectBytes, info }) => slabinfoLine(name, objectBytes, info));
    expect(printed).toEqual(text.split("\n").slice(2, -1));
    expect(rows.map(({ name }) => name)).toContain("kmalloc-192");
  }
});

test("slabinfo of a machine without caches is its head", () => {
  const { kernels } = kernelsOf({ cpus: 1 });
  expect(parseSlabinfo(slabinfo(kernels[0]))).toEqual([]);
});

test("a cache's line: what CPUs have counts as used", () => {
  const rows = parseSlabinfo(slabinfo(scene()));
  expect(rows.map(({ name }) => name)).toEqual(["scene", "kmem_cache_node", "kmem_cache"]);
  expect(rows[0].objectBytes).toBe(8192);
  const { activeObjects, objects, slabs, objectsPerSlab, order } = rows[0].info;
  expect({ activeObjects, objects, slabs, objectsPerSlab, order }).toEqual({
    activeObjects: 19,
    objects: 20,
    slabs: 5,
    objectsPerSlab: 4,
    order: 3,
  });
});

describe("sys/kernel/slab", () => {
  test("every file is what Linux's is, on the host and here", () => {
    const kernel = scene();
    for (const name of sysSlabFiles()) checkSlabFile(name, read(kernel, name));
    expect(sysSlabFiles()).toEqual(slabFileNames());
    for (const cache of ["kmalloc-64", "kmalloc-rcl-128", "dentry", "radix_tree_node"]) checkHostCache(cache);
  });

  test("values of a cache", () => {
    const kernel = scene();
    const values = Object.fromEntries(sysSlabFiles().map((name) => [name, read(kernel, name).trimEnd()]));
    expect(values).toMatchObject({
      align: "8",
      cpu_partial: "6",
      cpu_slabs: "2 N0=2",
      destroy_by_rcu: "0",
      min_partial: "6",
      object_size: "8192",
      objects: "19 N0=19",
      objects_partial: "3 N0=3",
      partial: "1 N0=1",
      objs_per_slab: "4",
      order: "3",
      reclaim_account: "1",
      remote_node_defrag_ratio: "100",
      slab_size: "8192",
      slabs: "5 N0=5",
      slabs_cpu_partial: "2(1) C0=2(1)",
      total_objects: "20 N0=20",
      usersize: "0",
    });
  });

  test("a folder lists its files or caches; a file may be named as it is", () => {
    const kernel = scene();
    expect(sysSlab(kernel, "sys/kernel/slab")).toBe("kmem_cache\nkmem_cache_node\nscene\n");
    const all = sysSlab(kernel, "sys/kernel/slab/scene");
    expect(all).toContain("object_size:              8192\n");
    expect(all.split("\n")).toHaveLength(sysSlabFiles().length + 1);
    expect(orRefusal(() => renderReport(kernel, "/sys/kernel/slab/scene/order"))).toBe("3\n");
    expect(orRefusal(() => renderReport(kernel, "sys/kernel/slab/"))).toBe(
      sysSlab(kernel, "sys/kernel/slab"),
    );
  });

  test("a cache that another was merged with is known by both names", () => {
    const kernel = scene();
    const { slabs } = kernel;
    slabs.create({ name: "twin", objectBytes: 8190, flags: SlabFlag.RECLAIM_ACCOUNT });
    expect(sysSlab(kernel, "sys/kernel/slab/twin")).toBe(sysSlab(kernel, "sys/kernel/slab/scene"));
    expect(read(kernel, "aliases")).toBe("1\n");
    expect(parseSlabinfo(slabinfo(kernel)).map(({ name }) => name)).not.toContain("twin");
  });

  test("what a machine debugs is said", () => {
    const [kernel] = kernelsOf({ cpus: 1, slabDebug: "FZPU" }).kernels;
    kernel.slabs.alloc(kernel.slabs.create({ name: "scene", objectBytes: 64 }), Gfp.KERNEL);
    const flags = ["poison", "red_zone", "sanity_checks", "store_user"].map((name) => read(kernel, name));
    expect(flags).toEqual(["1\n", "1\n", "1\n", "1\n"]);
    expect(Number(read(kernel, "slab_size"))).toBeGreaterThan(64);
    expect([read(kernel, "objects"), read(kernel, "cpu_slabs")]).toEqual(["1 N0=1\n", "0\n"]);
  });

  test.each([
    ["sys/kernel/slab/scone", 'there is no cache "scone" (did you mean scene?); valid are kmem_cache'],
    ["sys/kernel/slab/scene/ordr", 'there is no file "ordr"; valid are aliases, align'],
    ["sys/kernel/slab/scene/order/x", 'there is no file "order/x"'],
  ])("%s is refused, and the machine goes on", (name, message) => {
    const kernel = scene();
    expect(orRefusal(() => renderReport(kernel, name))).toEqual({
      refused: expect.stringContaining(message),
    });
    expect(typeof orRefusal(() => renderReport(kernel, "slabinfo"))).toBe("string");
  });
});

/** Files of the host that it lets us read; others it has are its own. */
function checkHostCache(cache: string): void {
  const folder = `/sys/kernel/slab/${cache}`;
  let files: string[];
  try {
    files = readdirSync(folder);
    readFileSync(`${folder}/order`);
  } catch {
    console.log(`this host shows no ${folder}`);
    return;
  }
  const known = slabFileNames().filter((name) => files.includes(name));
  expect(known.length).toBeGreaterThan(15);
  for (const name of known) checkSlabFile(name, readFileSync(`${folder}/${name}`, "utf8"));
}

/** What does not depend on the host's CPUs. */
const COMPARED = [
  "align",
  "cache_dma",
  "destroy_by_rcu",
  "hwcache_align",
  "min_partial",
  "object_size",
  "reclaim_account",
  "slab_size",
  "usersize",
];

test("kmalloc's caches are the host's, where that is of our kind", () => {
  const hostValue = (path: string): string | null => {
    try {
      return readFileSync(`/sys/kernel/slab/${path}`, "utf8");
    } catch {
      return null;
    }
  };
  const isOurs = hostValue("kmalloc-8/align") === "8\n" && hostValue("kmalloc-8/slab_size") === "8\n";
  if (!isOurs) {
    console.log("this host's kmalloc is another, or has debugging, or is not shown");
    return;
  }
  const [kernel] = kernelsOf({ cpus: 1 }).kernels;
  kernel.heap.start();
  const kmalloc = kernel.slabs.infos().filter(({ name }) => /kmalloc-/.test(name));
  const files = kmalloc.flatMap(({ name }) => COMPARED.map((file) => `${name}/${file}`));
  const shown = files.filter((path) => hostValue(path) !== null);
  const values = (of: (path: string) => string | null): string[] =>
    shown.map((path) => `${path}: ${of(path)?.trimEnd()}`);
  expect(shown.length).toBeGreaterThan(100);
  expect(values((path) => sysSlab(kernel, `sys/kernel/slab/${path}`))).toEqual(values(hostValue));
});

test("meminfo: slabs that can be reclaimed, the others with large kmalloc blocks, and their sum", () => {
  const { kernels } = kernelsOf({ cpus: 1 });
  const kernel = kernels[0];
  const { heap, pages, slabs } = kernel;
  const kilobytes = (): number[] => {
    pages.vmstatUpdate.quiet();
    const rows = parseMeminfo(meminfo(kernel));
    return ["KReclaimable", "Slab", "SReclaimable", "SUnreclaim"].map(
      (key) => rows.get(key)?.kilobytes ?? -1,
    );
  };
  expect(kilobytes()).toEqual([0, 0, 0, 0]);
  heap.start();
  const [, before] = kilobytes();
  expect(before).toBeGreaterThan(0);
  const objects = Array.from({ length: 64 }, () => heap.kmalloc(128, Gfp.KERNEL | GfpFlag.RECLAIMABLE));
  const large = heap.kmalloc(100_000, Gfp.KERNEL);
  expect(kilobytes()).toEqual([8, before + 8 + 128, 8, before + 128]);
  heap.kfree(large);
  for (const object of objects) heap.kfree(object);
  for (const cache of slabs.all()) slabs.shrink(cache);
  expect(kilobytes()[0]).toBe(0);
});
