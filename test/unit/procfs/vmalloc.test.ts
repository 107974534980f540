/** /proc/vmallocinfo and the vmalloc lines of meminfo: one grammar reads the host's file and ours. */

import { expect, test } from "vitest";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { meminfo } from "../../../src/procfs/meminfo.ts";
import { vmallocinfo, vmallocLine } from "../../../src/procfs/vmallocinfo.ts";
import { compareKeys, hostFile } from "../../support/host-proc.ts";
import { kernelsOf } from "../../support/kernels.ts";
import { parseMeminfo } from "../../support/proc-grammar.ts";
import { parseVmallocinfo } from "../../support/vmalloc-grammar.ts";

const PAGE = 4096;

test("vmallocinfo: the grammar reads both files, and our lines print the host's numbers", () => {
  const { kernels } = kernelsOf({ cpus: 4, nodes: 2, memory: "128MiB" });
  const [kernel, , , last] = kernels;
  expect(vmallocinfo(kernel)).toBe("");
  const first = kernel.vmap.vmalloc(3 * PAGE);
  kernel.vmap.vzalloc(1100 * PAGE);
  last.vmap.vmallocNode(2 * PAGE, 1);
  kernel.vmap.allocate(1, { caller: "alloc_large_system_hash" });
  const frame = kernel.pages.allocPage(Gfp.KERNEL);
  kernel.vmap.vmap([frame, frame]);
  kernel.vmap.vmMapRam([frame]);
  kernel.vmap.vfree(first);
  const ours = vmallocinfo(kernel);
  for (const text of [ours, hostFile("vmallocinfo")]) {
    if (text === null) continue;
    const rows = parseVmallocinfo(text);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.map((row) => vmallocLine(row.start, row.end, row.bytes, row.fields))).toEqual(
      text.slice(0, -1).split("\n"),
    );
  }
  const rows = parseVmallocinfo(ours);
  const find = (name: string) => rows.filter(({ fields }) => fields.includes(name));
  expect(find("vmap")).toMatchObject([{ bytes: 3 * PAGE, pages: 0 }]);
  expect(find("vm_map_ram")).toMatchObject([{ bytes: 1024 * PAGE }]);
  expect(find("unpurged")).toMatchObject([
    { start: "ffffc90000000000", end: "ffffc90000004000", bytes: 4 * PAGE },
  ]);
  expect(find("vmalloc_node+0x0/0x0")).toMatchObject([{ pages: 2 }]);
  expect(find("vmalloc_node+0x0/0x0")[0].nodes).toEqual(new Map([[1, 2]]));
  expect(find("vzalloc+0x0/0x0")).toMatchObject([{ pages: 1100, bytes: 1101 * PAGE }]);
  expect(find("vpages").length).toBe(1);
  expect(find("alloc_large_system_hash+0x0/0x0")).toMatchObject([{ pages: 1 }]);
  for (const { start, end, bytes } of rows)
    expect(Number(BigInt(`0x${end}`) - BigInt(`0x${start}`))).toBe(bytes);
});

test("meminfo: Linux's range, what is used in it, and no largest chunk", () => {
  const { kernels } = kernelsOf({ cpus: 1, memory: "64MiB" });
  const [kernel] = kernels;
  const kilobytes = (key: string): number | undefined => parseMeminfo(meminfo(kernel)).get(key)?.kilobytes;
  expect(kilobytes("VmallocTotal")).toBe(34359738367);
  expect(kilobytes("VmallocUsed")).toBe(0);
  kernel.vmap.vmalloc(5 * PAGE);
  expect(kilobytes("VmallocUsed")).toBe(20);
  expect(kilobytes("VmallocChunk")).toBe(0);
  const host = hostFile("meminfo");
  if (host !== null)
    compareKeys("meminfo", [...parseMeminfo(meminfo(kernel)).keys()], [...parseMeminfo(host).keys()]);
  const small = kernelsOf({ cpus: 1, memory: "4MiB" }).kernels[0];
  expect(parseMeminfo(meminfo(small)).get("VmallocTotal")?.kilobytes).toBe(7 * 2 ** 29 - 1);
});
