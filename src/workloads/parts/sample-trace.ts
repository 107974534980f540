/** A small trace of our own making, so that replay-alloc has something to replay without a recording. */

import { Random } from "../../memory/random.ts";

const CPUS = 4;
const ALLOCATIONS = 400;
const SIZES = [8, 24, 56, 96, 192, 200, 512, 1024, 3000];
const CACHES = [
  ["dentry", 192],
  ["inode_cache", 600],
  ["vm_area_struct", 152],
] as const;

/** Text as ftrace writes it: kmalloc, caches and pages on 4 CPUs, one free in four on another CPU, some never. */
export function sampleTrace(): string {
  const random = new Random().seed(612);
  const lines = ["# tracer: nop", "#"];
  const live: { cpu: number; free: string }[] = [];
  let time = 1_000_000;
  const add = (cpu: number, event: string): void => {
    time += 1 + random.below(40);
    const seconds = (time / 1e6).toFixed(6);
    lines.push(`     sample-${100 + cpu}   [${String(cpu).padStart(3, "0")}] .....  ${seconds}: ${event}`);
  };
  for (let i = 0; i < ALLOCATIONS; i++) {
    const cpu = random.below(CPUS);
    const ptr = `0x${(0x10000 + i * 64).toString(16)}`;
    const what = random.below(10);
    if (what < 5) {
      const bytes = SIZES[random.below(SIZES.length)];
      const flags = what === 0 ? "GFP_ATOMIC" : "GFP_KERNEL|__GFP_ZERO";
      add(
        cpu,
        `kmalloc: call_site=sample+0x1/0x9 ptr=${ptr} bytes_req=${bytes} bytes_alloc=${bytes} gfp_flags=${flags} node=-1 accounted=false`,
      );
      live.push({ cpu, free: `kfree: call_site=sample+0x2/0x9 ptr=${ptr}` });
    } else if (what < 9) {
      const [name, bytes] = CACHES[random.below(CACHES.length)];
      add(
        cpu,
        `kmem_cache_alloc: call_site=sample+0x3/0x9 ptr=${ptr} bytes_req=${bytes} bytes_alloc=${bytes} gfp_flags=GFP_KERNEL node=-1 accounted=true`,
      );
      live.push({ cpu, free: `kmem_cache_free: call_site=sample+0x4/0x9 ptr=${ptr} name=${name}` });
    } else {
      const page = `page=${ptr} pfn=${ptr} order=${random.below(3)}`;
      add(cpu, `mm_page_alloc: ${page} migratetype=0 gfp_flags=GFP_KERNEL`);
      live.push({ cpu, free: `mm_page_free: ${page}` });
    }
    if (live.length < 24) continue;
    const [{ cpu: owner, free }] = live.splice(random.below(live.length), 1);
    add(random.below(4) === 0 ? random.below(CPUS) : owner, free);
  }
  return `${lines.join("\n")}\n`;
}
