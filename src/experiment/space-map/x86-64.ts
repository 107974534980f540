/**
 * The address space of x86-64, with four levels of page tables or five, without KASLR.
 *
 * Linux: Documentation/arch/x86/x86_64/mm.rst; arch/x86/include/asm/pgtable_64_types.h, page_64_types.h, fixmap.h.
 */

import { GIB, MIB, PIB, type Region, type SpaceMap, TIB, withHoles } from "./region.ts";

const TOP = 1n << 64n;
const below = (bytes: bigint): bigint => TOP - bytes;
const KIB4 = 4096n;

/** What differs between four and five levels: places below the top, and sizes. */
const BASES = {
  4: {
    userBits: 47n,
    guard: [128n * TIB, 8n * TIB],
    ldt: [120n * TIB, TIB / 2n],
    direct: [119n * TIB + TIB / 2n, 64n * TIB],
    vmalloc: [55n * TIB, 32n * TIB],
    vmemmap: [22n * TIB, TIB],
    kasan: [20n * TIB, 16n * TIB],
  },
  5: {
    userBits: 56n,
    guard: [64n * PIB, 4n * PIB],
    ldt: [60n * PIB, PIB / 4n],
    direct: [59n * PIB + (3n * PIB) / 4n, 32n * PIB],
    vmalloc: [24n * PIB, (25n * PIB) / 2n],
    vmemmap: [11n * PIB, PIB / 2n],
    // It ends where it does with four levels.
    kasan: [8n * PIB + PIB / 4n, 8n * PIB + PIB / 4n - 4n * TIB],
  },
} as const;

export function x86Map64(levels: 4 | 5): SpaceMap {
  const base = BASES[levels];
  const part = ([from, bytes]: readonly [bigint, bigint], name: string, note: string): Region => ({
    start: below(from),
    end: below(from) + bytes,
    name,
    note,
  });
  const regions = [
    { start: 0n, end: 1n << base.userBits, name: "user", note: "programs: each process has its own" },
    {
      start: 1n << base.userBits,
      end: TOP - (1n << base.userBits),
      name: "",
      note: "non-canonical: the upper bits are not all alike, and every access faults",
    },
    part(base.guard, "guard hole", "also for a hypervisor"),
    part(base.ldt, "LDT remap", "local descriptor tables, for page-table isolation"),
    part(base.direct, "direct map", "all physical memory in a row (page_offset_base)"),
    part(base.vmalloc, "vmalloc", "vmalloc and ioremap (vmalloc_base)"),
    part(base.vmemmap, "vmemmap", "the struct pages of all frames (vmemmap_base)"),
    part(base.kasan, "KASAN shadow", "a byte for each eight; a hole without KASAN"),
    part(
      [2n * TIB, TIB / 2n],
      "cpu_entry_area",
      "of each CPU what entry code needs before it has switched tables",
    ),
    part([TIB, TIB / 2n], "espfix", "stacks for returns to 16-bit programs"),
    part([68n * GIB, 64n * GIB], "EFI", "the firmware's runtime services, in tables of their own"),
    part([2n * GIB, 512n * MIB], "kernel text", "the kernel's image, at physical address 0"),
    part([1536n * MIB, 1520n * MIB], "modules", "code of modules, near the kernel's for short jumps"),
    // FIXADDR_TOP is rounded up from the vsyscall page to 2 MiB, less a page.
    part(
      [11n * MIB + MIB / 2n, MIB + MIB / 2n],
      "fixmap",
      "addresses that are known when the kernel is compiled; its size varies",
    ),
    part([10n * MIB, KIB4], "vsyscall", "three system calls of old programs, at a fixed address"),
  ];
  return {
    title: `x86-64, ${levels} levels of page tables (${levels === 4 ? 48 : 57}-bit addresses)`,
    bits: 64,
    regions: withHoles(regions, TOP),
  };
}
