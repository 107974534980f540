import { expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import {
  EVENT_WORDS,
  Kind,
  type KmemTrace,
  parseKmemTrace,
} from "../../../src/workloads/parts/kmem-trace.ts";
import { sampleTrace } from "../../../src/workloads/parts/sample-trace.ts";

const eventsOf = ({ events }: KmemTrace): number[][] =>
  Array.from({ length: events.length / EVENT_WORDS }, (_, i) =>
    events.slice(i * EVENT_WORDS, (i + 1) * EVENT_WORDS),
  );
const GFP = Gfp.KERNEL | GfpFlag.NOWARN;

/** One allocation and its free, as different tools and kernels write them. */
test.each([
  [
    "ftrace of 6.x",
    "  app-12  [002] ..... 1.000001: kmalloc: call_site=f+0x1/0x2 ptr=00000000ab bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL node=-1 accounted=false",
    "  app-12  [002] ..... 1.000002: kfree: call_site=g+0x1/0x2 ptr=00000000ab",
  ],
  [
    "ftrace of 3.x, without a node",
    "  app-12  [002] d.h3 1.000001: kmalloc: call_site=ffffffff8112 ptr=ffff8801 bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL",
    "  app-12  [002] d.h3 1.000002: kfree: call_site=ffffffff8113 ptr=ffff8801",
  ],
  [
    "kmalloc_node, fields in another order",
    "  app-12  [002] .... 1.000001: kmalloc_node: gfp_flags=GFP_KERNEL bytes_req=24 node=0 ptr=0x77 bytes_alloc=32 call_site=a",
    "  app-12  [002] .... 1.000002: kfree: ptr=0x77 call_site=a",
  ],
  [
    "trace-cmd report",
    "   app-12    [002]   1.000001: kmalloc:              (f+0x1) call_site=a ptr=0x77 bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL",
    "   app-12    [002]   1.000002: kfree:                call_site=a ptr=0x77",
  ],
  [
    "perf script",
    "app    12 [002]     1.000001: kmem:kmalloc: call_site=a ptr=0x77 bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL",
    "app    12 [002]     1.000002: kmem:kfree: call_site=a ptr=0x77",
  ],
])("%s is read", (_name, alloc, free) => {
  const trace = parseKmemTrace(`# tracer: nop\n\ncpus=4\n${alloc}\n${free}\n`, "t");
  expect(eventsOf(trace)).toEqual([
    [Kind.KMALLOC, 2, 0, 24, GFP],
    [Kind.FREE, 2, 0, 0, 0],
  ]);
  expect(trace).toMatchObject({ allocations: 1, cpus: 3, unmatched: 0, lostFrees: 0 });
});

const at = (cpu: number, event: string): string => `a-1 [00${cpu}] .... 1.5: ${event}`;

test("pages and objects are kept apart, and a free finds the last allocation at its address", () => {
  const text = [
    at(0, "mm_page_alloc: page=0x5 pfn=0x77 order=2 migratetype=0 gfp_flags=GFP_ATOMIC|__GFP_ZERO"),
    at(1, "kmem_cache_alloc: call_site=a ptr=0x77 bytes_req=192 bytes_alloc=192 gfp_flags=GFP_KERNEL"),
    at(0, "sched_switch: prev_comm=a"),
    at(1, "mm_page_free: page=0x5 pfn=0x77 order=2"),
    at(0, "kmem_cache_free: call_site=a ptr=0x77 name=dentry"),
    at(0, "kmem_cache_free: call_site=a ptr=0x77 name=dentry"),
    at(0, "kfree: call_site=a ptr=(null)"),
    at(0, "kmalloc: ptr=0x77 bytes_req=8 bytes_alloc=8 gfp_flags=GFP_NOWAIT"),
    at(1, "kmalloc: ptr=0x77 bytes_req=9 bytes_alloc=16 gfp_flags=GFP_KERNEL|__GFP_RECLAIMABLE"),
  ].join("\n");
  const trace = parseKmemTrace(text, "t");
  expect(eventsOf(trace)).toEqual([
    [Kind.PAGES, 0, 0, 2, Gfp.ATOMIC | GfpFlag.ZERO | GfpFlag.NOWARN],
    [Kind.CACHE, 1, 1, 192, GFP],
    [Kind.FREE, 1, 0, 0, 0],
    [Kind.FREE, 0, 1, 0, 0],
    [Kind.KMALLOC, 0, 2, 8, Gfp.NOWAIT],
    [Kind.FREE, 1, 2, 0, 0],
    [Kind.KMALLOC, 1, 3, 9, GFP | GfpFlag.RECLAIMABLE],
  ]);
  expect(trace).toMatchObject({ allocations: 4, cpus: 2, unmatched: 1, lostFrees: 1, cacheSizes: [192] });
});

test.each([
  ["nonsense", 't, line 1: "nonsense" is no line of a trace'],
  [at(0, "kmalloc: bytes_req=8 gfp_flags=GFP_KERNEL"), "t, line 1: there is no ptr="],
  [`#\n${at(0, "kmalloc: ptr=0x1 gfp_flags=GFP_KERNEL")}`, "t, line 2: there is no bytes_req="],
  [
    at(0, "mm_page_alloc: pfn=1 order=11 gfp_flags=GFP_KERNEL"),
    "t, line 1: order=11: valid are whole numbers from 0 to 10",
  ],
  ["# nothing\n", "t: there is no kmem event in it"],
])("%j is refused", (text, message) => {
  expect(() => parseKmemTrace(text, "t")).toThrow(message);
});

test("the sample is well-formed, and has frees on other CPUs", () => {
  const trace = parseKmemTrace(sampleTrace(), "sample");
  expect(trace).toMatchObject({ allocations: 400, cpus: 4, unmatched: 0, lostFrees: 0 });
  const owner = new Map<number, number>();
  let remote = 0;
  for (const [kind, cpu, allocation] of eventsOf(trace)) {
    if (kind !== Kind.FREE) owner.set(allocation, cpu);
    else if (owner.get(allocation) !== cpu) remote++;
  }
  expect(remote).toBeGreaterThan(20);
});
