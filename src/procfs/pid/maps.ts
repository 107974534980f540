/**
 * /proc/PID/maps: the mappings of a process.
 *
 * Linux: fs/proc/task_mmu.c show_map_vma.  Differs: a memory file has no name, so all are "/memfd: (deleted)"; the inode's
 * number tells them apart.
 */

import { PAGE_BYTES } from "../../memory/units.ts";
import { Inode } from "../../process/file-layout.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "../../process/vm-area.ts";
import { eachArea, permissionText } from "./areas.ts";
import { mapsLine } from "./layout.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";

export function maps(source: ProcessSource, { mm }: ProcessView): string {
  const lines: string[] = [];
  eachArea(source, mm, (area, from) => lines.push(areaLine(source, mm, area, from)));
  return lines.map((line) => `${line}\n`).join("");
}

/** The line of one mapping, or of what of it begins at `from`. */
export function areaLine({ processes }: ProcessSource, mm: MmRef, area: VmaRef, from: number): string {
  const { vmas } = processes;
  const { memory } = vmas;
  const inode = inodeOf({ processes }, area);
  const start = vmas.startOf(area);
  return mapsLine({
    start: from,
    end: vmas.endOf(area),
    permissions: permissionText(vmas.flagsOf(area)),
    offset: inode === 0 ? 0 : vmas.pgoffOf(area) * PAGE_BYTES + from - start,
    // The file system of memory files is the first without a device.
    device: inode === 0 ? "00:00" : "00:01",
    inode: inode === 0 ? 0 : memory.read(inode + Inode.number),
    name: nameOf({ processes }, mm, area),
  });
}

/** "", "[heap]", "[stack]", or the file's path.  Linux: get_vma_name. */
export function nameOf({ processes }: Pick<ProcessSource, "processes">, mm: MmRef, area: VmaRef): string {
  const { memory } = processes.vmas;
  const path = pathOf({ processes }, area);
  if (path !== "") return path;
  const [start, end] = [processes.vmas.startOf(area), processes.vmas.endOf(area)];
  const at = (field: number): number => memory.readFloat64(mm + field);
  if (start < at(MmStruct.brk) && end > at(MmStruct.startBrk)) return "[heap]";
  const stack = at(MmStruct.startStack);
  return start <= stack && stack <= end && stack !== 0 ? "[stack]" : "";
}

/** Of the file behind a mapping; "" for anonymous memory. */
export function pathOf({ processes }: Pick<ProcessSource, "processes">, area: VmaRef): string {
  const inode = inodeOf({ processes }, area);
  if (inode === 0) return "";
  const isAnonymous = processes.vmas.memory.read(inode + Inode.isAnonymous) !== 0;
  return isAnonymous ? "/dev/zero (deleted)" : "/memfd: (deleted)";
}

function inodeOf({ processes }: Pick<ProcessSource, "processes">, area: VmaRef): number {
  const file = processes.vmas.memory.read(area + VmArea.file);
  return file === 0 ? 0 : processes.files.inodeOf(file);
}
