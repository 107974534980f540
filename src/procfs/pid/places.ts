/**
 * Where the parts of a process are: text, heap, the area of mappings, stack, and the kernel's share of its tables.
 *
 * Not a file of Linux: what it shows is in /proc/PID/stat and in mm_struct.  Linux: fs/binfmt_elf.c, mm/util.c mmap_base.
 */

import { formatAddress } from "../../mm/vmap/vmalloc-space.ts";
import { type MmRef, MmStruct } from "../../process/vm-area.ts";
import { VmFlag } from "../../process/vm-flags.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";

const field = MmStruct;

export function places(source: ProcessSource, { mm }: ProcessView): string {
  const at = (offset: number): number => source.memory.readFloat64(mm + offset);
  const { low, high, count, stack } = mappedBelow(source, mm, at(field.mmapBase));
  const rows: readonly (readonly [string, number, number, string])[] = [
    ["text", at(field.startCode), at(field.endCode), "the program's instructions"],
    ["heap", at(field.startBrk), at(field.brk), "grows up: brk"],
    ["mappings", low, high, `${count} between heap and mmap_base, placed from the top down`],
    ["mmap_base", at(field.mmapBase), at(field.mmapBase), "where placing begins"],
    ["stack", stack.start, stack.end, "grows down"],
    ["end", at(field.taskSize), at(field.taskSize), "no program's address is higher (TASK_SIZE)"],
  ];
  return rows
    .filter(([, start]) => start > 0)
    .map(([name, start, end, note]) => {
      const size = end > start ? `${(end - start) / 1024} kB` : "";
      return `${name.padEnd(10)} ${formatAddress(start)} ${end > start ? formatAddress(end - 1) : " ".repeat(16)} ${size.padStart(10)}  ${note}\n`;
    })
    .join("");
}

/** What lies between the heap and mmap_base; and the stack. */
function mappedBelow(
  { processes, memory }: ProcessSource,
  mm: MmRef,
  base: number,
): { low: number; high: number; count: number; stack: { start: number; end: number } } {
  const { vmas } = processes;
  const heapEnd = memory.readFloat64(mm + field.brk);
  let [low, high, count] = [0, 0, 0];
  let stack = { start: 0, end: 0 };
  vmas.locks.readLock(mm);
  for (const area of vmas.overlapping(mm, 0, memory.readFloat64(mm + field.taskSize))) {
    const [start, end] = [vmas.startOf(area), vmas.endOf(area)];
    if ((vmas.flagsOf(area) & VmFlag.GROWSDOWN) !== 0) stack = { start, end };
    else if (start >= heapEnd && end <= base) {
      if (count === 0) low = start;
      high = end;
      count++;
    }
  }
  vmas.locks.readUnlock(mm);
  return { low, high, count, stack };
}
