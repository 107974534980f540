/**
 * The address space of arm64: two top tables, TTBR0 for programs and TTBR1 for the kernel; bit 55 of an address chooses.
 *
 * Linux: arch/arm64/include/asm/memory.h, pgtable.h, fixmap.h of 6.12.
 */

import { UsageError } from "../../memory/bug.ts";
import { GIB, MIB, type SpaceMap, withHoles } from "./region.ts";

const TOP = 1n << 64n;
/** Bytes of struct page. */
const PAGE_STRUCT = 64n;
/** Address bits that kernels with pages of so many KiB are built for.  Linux: arch/arm64/Kconfig ARM64_VA_BITS. */
const VA_BITS: Readonly<Record<number, readonly number[]>> = {
  4: [39, 48, 52],
  16: [36, 47, 48, 52],
  64: [42, 48, 52],
};

export function arm64Map(vaBits: number, pageKib: number): SpaceMap {
  const allowed = VA_BITS[pageKib];
  if (allowed === undefined)
    throw new UsageError(`--page: ${pageKib} is not valid; valid are ${Object.keys(VA_BITS).join(", ")} KiB`);
  if (!allowed.includes(vaBits))
    throw new UsageError(
      `--va-bits: ${vaBits} is not valid with pages of ${pageKib} KiB; valid are ${allowed.join(", ")}`,
    );
  const page = BigInt(pageKib) * 1024n;
  // A kernel for 52 bits runs on CPUs with fewer, too: what is above the linear map lies where it would there.  Linux: VA_BITS_MIN.
  const least = BigInt(vaBits <= 48 ? vaBits : pageKib === 16 ? 47 : 48);
  const pageOffset = TOP - (1n << BigInt(vaBits));
  const pageEnd = TOP - (1n << (least - 1n));
  const modulesEnd = pageEnd + 2n * GIB;
  const vmemmapEnd = TOP - GIB;
  const vmemmap = vmemmapEnd - ((pageEnd - pageOffset) / page) * PAGE_STRUCT;
  const fixTop = TOP - 8n * MIB;
  const pciStart = vmemmapEnd + 8n * MIB;
  const regions = [
    {
      start: 0n,
      end: 1n << BigInt(vaBits),
      name: "user (TTBR0)",
      note: "programs: each process has its own",
    },
    { start: 1n << BigInt(vaBits), end: pageOffset, name: "", note: "neither: an access faults" },
    {
      start: pageOffset,
      end: pageEnd,
      name: "linear map (TTBR1)",
      note: "all physical memory in a row (PAGE_OFFSET)",
    },
    { start: pageEnd, end: modulesEnd, name: "modules", note: "code of modules, in reach of the kernel's" },
    {
      start: modulesEnd,
      end: vmemmap - 8n * MIB,
      name: "vmalloc",
      note: "vmalloc and ioremap; the kernel's image at its begin",
    },
    { start: vmemmap, end: vmemmapEnd, name: "vmemmap", note: "the struct pages of all frames" },
    { start: pciStart, end: pciStart + 16n * MIB, name: "PCI I/O", note: "ports of PCI" },
    {
      start: fixTop - 4n * MIB,
      end: fixTop,
      name: "fixmap",
      note: "fixed addresses, from the top down; its size varies",
    },
  ];
  return {
    title: `arm64, ${vaBits}-bit addresses, pages of ${pageKib} KiB`,
    bits: 64,
    regions: withHoles(regions, TOP),
  };
}
