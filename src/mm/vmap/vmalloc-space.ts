/**
 * Where the kernel's virtual memory lies, and how its addresses are written.
 *
 * A kernel virtual address is a negative number: its 64 bits as a signed integer, exact below 2^53.  With five levels of tables
 * the range stays where it is with four: Linux's place for it then, ffa0000000000000, has no exact numbers for bytes.
 *
 * Linux: Documentation/arch/x86/x86_64/mm.rst, arch/x86/include/asm/pgtable_64_types.h.
 */

/** ffffc90000000000, without KASLR. */
export const VMALLOC_START = -0x3700_0000_0000;
/** 32 TiB. */
const VMALLOC_BYTES = 2 ** 45;
/** What one entry of the top table covers. */
export const PGDIR_BYTES = 2 ** 39;
/** What one page table covers. */
export const PMD_BYTES = 2 ** 21;

/** Pages of the machine for each table that is made in advance. */
const PAGES_PER_TABLE = 128;

/** Bytes of the range on a machine of `totalPages`: those of 1 to 64 entries of the top table. */
export function vmallocBytes(totalPages: number): number {
  return Math.max(
    PGDIR_BYTES,
    Math.min(Math.floor(totalPages / PAGES_PER_TABLE) * PGDIR_BYTES, VMALLOC_BYTES),
  );
}

/** An address of up to 64 bits as sixteen hexadecimal digits. */
export function formatAddress(address: number): string {
  const upper = Math.floor(address / 2 ** 32) >>> 0;
  return upper.toString(16).padStart(8, "0") + (address >>> 0).toString(16).padStart(8, "0");
}
