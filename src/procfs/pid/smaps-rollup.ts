/** /proc/PID/smaps_rollup: smaps of all mappings together.  Linux: fs/proc/task_mmu.c show_smaps_rollup. */

import { eachArea } from "./areas.ts";
import { mapsLine } from "./layout.ts";
import type { ProcessView } from "./process.ts";
import { usageLines } from "./smaps.ts";
import type { ProcessSource } from "./source.ts";
import { Usage } from "./usage.ts";

export function smapsRollup(source: ProcessSource, { mm }: ProcessView): string {
  const { vmas } = source.processes;
  const usage = new Usage();
  let [start, end] = [-1, 0];
  eachArea(source, mm, (area, from) => {
    if (start < 0) start = from;
    end = vmas.endOf(area);
    usage.add(source, mm, area, from);
  });
  const all = { start: Math.max(0, start), end, offset: 0, inode: 0 };
  const head = mapsLine({ ...all, permissions: "---p", device: "00:00", name: "[rollup]" });
  return [head, ...usageLines(usage, true)].map((line) => `${line}\n`).join("");
}
