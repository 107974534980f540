/**
 * The address space of x86-32: how 4 GiB are split between programs and the kernel, and the kernel's part.
 *
 * What is left of the direct map's part once vmalloc has its reserve is low memory; frames beyond have no address of their own
 * and are mapped when they are needed (kmap).
 *
 * Linux: arch/x86/Kconfig PAGE_OFFSET; arch/x86/include/asm/pgtable_32_areas.h; arch/x86/mm/init_32.c mem_init.
 */

import { UsageError } from "../../memory/bug.ts";
import { MIB, type SpaceMap, withHoles } from "./region.ts";

const TOP = 1n << 32n;
const PAGE = 4096n;
/** Linux: CONFIG_VMSPLIT_*. */
const SPLITS: Readonly<Record<string, { readonly offset: bigint; readonly allowsPae: boolean }>> = {
  "3G": { offset: 0xc000_0000n, allowsPae: true },
  "3G_OPT": { offset: 0xb000_0000n, allowsPae: false },
  "2G": { offset: 0x8000_0000n, allowsPae: true },
  "2G_OPT": { offset: 0x7800_0000n, allowsPae: false },
  "1G": { offset: 0x4000_0000n, allowsPae: true },
};
/** Linux: __FIXADDR_TOP. */
const FIXADDR_TOP = 0xffff_f000n;
/** Of a kernel for 8 CPUs: 512 pages for early mappings, 16 of kmap for each CPU, and some 30 others. */
const FIXMAP_PAGES = 512n + 8n * 16n + 32n;
/** Pages of cpu_entry_area, 8 CPUs, and one for the IDT. */
const ENTRY_PAGES = 8n * 10n + 1n;
/** Linux: __VMALLOC_RESERVE, VMALLOC_OFFSET. */
const VMALLOC_RESERVE = 128n * MIB;
const VMALLOC_OFFSET = 8n * MIB;

export const splitNames = (): string[] => Object.keys(SPLITS);

export function x86Map32(split: string, pae: boolean): SpaceMap {
  const found = Object.hasOwn(SPLITS, split) ? SPLITS[split] : null;
  if (found === null)
    throw new UsageError(`--split: "${split}" is not valid; valid are ${splitNames().join(", ")}`);
  if (pae && !found.allowsPae)
    throw new UsageError(
      `--pae: the split ${split} is not possible with PAE, whose tables begin at whole gigabytes`,
    );
  const { offset } = found;
  const pmd = pae ? 2n * MIB : 4n * MIB;
  const down = (address: bigint): bigint => address & ~(pmd - 1n);
  const fixmap = FIXADDR_TOP - FIXMAP_PAGES * PAGE;
  const entry = down(fixmap - ENTRY_PAGES * PAGE);
  const ldt = down(entry - PAGE);
  const pkmap = down(ldt - PAGE);
  const vmallocEnd = pkmap - 2n * PAGE;
  const lowEnd = vmallocEnd - VMALLOC_RESERVE;
  const pkmapPages = pae ? 512n : 1024n;
  const regions = [
    { start: 0n, end: offset, name: "user", note: "programs: each process has its own" },
    {
      start: offset,
      end: lowEnd,
      name: "lowmem",
      note: "the direct map: low memory, at most; frames beyond are HIGHMEM",
    },
    {
      start: lowEnd + VMALLOC_OFFSET,
      end: vmallocEnd,
      name: "vmalloc",
      note: "vmalloc, ioremap and modules",
    },
    {
      start: pkmap,
      end: pkmap + pkmapPages * PAGE,
      name: "pkmap",
      note: "pages of high memory that kmap has mapped",
    },
    {
      start: ldt,
      end: ldt + pmd,
      name: "LDT remap",
      note: "local descriptor tables, for page-table isolation",
    },
    {
      start: entry,
      end: entry + ENTRY_PAGES * PAGE,
      name: "cpu_entry_area",
      note: "what entry code needs; of 8 CPUs",
    },
    { start: fixmap, end: FIXADDR_TOP, name: "fixmap", note: "fixed addresses, and kmap_local's; of 8 CPUs" },
  ];
  return {
    title: `x86-32${pae ? " with PAE" : ""}, split ${split}: ${(offset / MIB).toString()} MiB for programs`,
    bits: 32,
    regions: withHoles(regions, TOP),
  };
}
