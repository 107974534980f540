/**
 * /proc/PID/statm: pages of a process: size, resident, shared, text, 0, data, 0.
 *
 * Linux: fs/proc/array.c proc_pid_statm; fs/proc/task_mmu.c task_statm, task_mem.  Differs: counters are added up over all CPUs
 * first, where 6.12 reads what has been folded.
 */

import { PAGE_BYTES } from "../../memory/units.ts";
import { RssMember } from "../../process/rss.ts";
import { MmStruct } from "../../process/vm-area.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";

const field = MmStruct;

/** What the address space counts, in pages. */
export interface SpacePages {
  readonly size: number;
  readonly anon: number;
  readonly file: number;
  readonly shmem: number;
  readonly swap: number;
  readonly text: number;
  readonly exec: number;
  readonly data: number;
  readonly stack: number;
  readonly locked: number;
  readonly mostSize: number;
  readonly mostResident: number;
}

const NONE: SpacePages = {
  size: 0,
  anon: 0,
  file: 0,
  shmem: 0,
  swap: 0,
  text: 0,
  exec: 0,
  data: 0,
  stack: 0,
  locked: 0,
  mostSize: 0,
  mostResident: 0,
};

/** All 0 for a task without an address space. */
export function spacePages({ processes }: ProcessSource, { mm }: ProcessView): SpacePages {
  if (mm === 0) return NONE;
  const { memory } = processes.vmas;
  const at = (offset: number): number => memory.readFloat64(mm + offset);
  const rss = (member: number): number => Math.max(0, processes.rss.read(mm, member));
  const [startCode, endCode] = [at(field.startCode), at(field.endCode)];
  const text = Math.ceil(endCode / PAGE_BYTES) - Math.floor(startCode / PAGE_BYTES);
  const [anon, file, shmem] = [rss(RssMember.ANON), rss(RssMember.FILE), rss(RssMember.SHMEM)];
  const [size, exec] = [at(field.totalVm), at(field.execVm)];
  return {
    size,
    anon,
    file,
    shmem,
    swap: rss(RssMember.SWAP),
    text: Math.min(text, exec),
    exec,
    data: at(field.dataVm),
    stack: at(field.stackVm),
    locked: at(field.lockedVm),
    mostSize: Math.max(size, at(field.hiwaterVm)),
    mostResident: Math.max(anon + file + shmem, at(field.hiwaterRss)),
  };
}

export function statm(source: ProcessSource, process: ProcessView): string {
  const { size, anon, file, shmem, text, data, stack } = spacePages(source, process);
  return `${[size, anon + file + shmem, file + shmem, text, 0, data + stack, 0].join(" ")}\n`;
}
