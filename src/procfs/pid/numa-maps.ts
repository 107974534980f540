/**
 * /proc/PID/numa_maps: for each mapping its memory policy, and the nodes of its pages.
 *
 * Linux: fs/proc/task_mmu.c show_numa_map, gather_stats.  Differs: mappings have no policies of their own, so all are
 * "default"; a path that would hold a blank has "\040" for it, as there.
 */

import { PteBit } from "../../hardware/page-table-entry.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { Page } from "../../mm/pages/page.ts";
import { PageFlag } from "../../mm/pages/page-flags.ts";
import { isPresent, PteSoft } from "../../mm/pgtable/pte.ts";
import { contextOf, type MmRef, type VmaRef } from "../../process/vm-area.ts";
import { eachArea } from "./areas.ts";
import { nameOf, pathOf } from "./maps.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";

const SPECIAL_NAMES: Readonly<Record<string, string>> = { "[heap]": "heap", "[stack]": "stack" };

/** Counts of pages. */
interface NodePages {
  pages: number;
  anon: number;
  dirty: number;
  active: number;
  mostMapped: number;
  readonly nodes: number[];
}

export function numaMaps(source: ProcessSource, { mm }: ProcessView): string {
  const lines: string[] = [];
  eachArea(source, mm, (area, from) => {
    const path = pathOf(source, area);
    const name =
      path === "" ? SPECIAL_NAMES[nameOf(source, mm, area)] : `file=${path.replaceAll(" ", "\\040")}`;
    const words = [from.toString(16).padStart(8, "0"), "default", ...(name === undefined ? [] : [name])];
    lines.push([...words, ...countWords(countPages(source, mm, area, from))].join(" "));
  });
  return lines.map((line) => `${line}\n`).join("");
}

/** Linux: the end of show_numa_map. */
function countWords({ pages, anon, dirty, active, mostMapped, nodes }: NodePages): string[] {
  if (pages === 0) return [];
  const words: readonly (readonly [boolean, string])[] = [
    [anon > 0, `anon=${anon}`],
    [dirty > 0, `dirty=${dirty}`],
    [pages !== anon && pages !== dirty, `mapped=${pages}`],
    [mostMapped > 1, `mapmax=${mostMapped}`],
    [active < pages, `active=${active}`],
    ...nodes.map((count, node) => [count > 0, `N${node}=${count}`] as const),
    [true, `kernelpagesize_kB=${PAGE_BYTES / 1024}`],
  ];
  return words.filter(([isShown]) => isShown).map(([, text]) => text);
}

/** Linux: gather_pte_stats, gather_stats. */
function countPages(source: ProcessSource, mm: MmRef, area: VmaRef, from: number): NodePages {
  const { frames } = source.pages;
  const { vmas, anonPages } = source.processes;
  const { pte } = source.paging.tables;
  const nodes = new Array<number>(frames.nodeCount).fill(0);
  const found: NodePages = { pages: 0, anon: 0, dirty: 0, active: 0, mostMapped: 0, nodes };
  source.paging.ranges.eachPte(contextOf(mm), from, vmas.endOf(area), (low) => {
    if (!isPresent(low) || (low & PteSoft.SPECIAL) !== 0) return;
    const pfn = pte.pfnOf(low);
    const page = frames.pageOf(pfn);
    const flags = frames.memory.read(page + Page.flags);
    found.pages++;
    if (anonPages.isAnon(pfn)) found.anon++;
    if ((low & PteBit.DIRTY) !== 0 || (flags & PageFlag.DIRTY) !== 0) found.dirty++;
    if ((flags & (PageFlag.ACTIVE | PageFlag.UNEVICTABLE)) !== 0) found.active++;
    found.mostMapped = Math.max(found.mostMapped, anonPages.mapcountOf(pfn));
    nodes[frames.nodeOf(page)]++;
  });
  return found;
}
