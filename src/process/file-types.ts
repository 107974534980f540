/**
 * Types of files: what a file system is asked about the pages of its files.
 *
 * Type 0 is memory files, which ask nothing.  A kernel module may register others, in `attach`, so that every CPU has the same
 * ones in the same order, and creates files of them with `shmem.create(type)`.
 *
 * Linux: struct vm_operations_struct page_mkwrite; struct address_space_operations read_folio, writepages.
 */

import { bug } from "../memory/bug.ts";
import type { Pfn } from "../memory/units.ts";
import type { InodeRef } from "./file-layout.ts";

export interface FileType {
  readonly name: string;
  /** Fills a page that comes into the file, locked.  False: there is none to be had, the program gets SIGBUS. */
  readPage?(inode: InodeRef, index: number, pfn: Pfn): boolean;
  /** A page, locked, is about to become writable in a shared mapping.  False: it may not, the program gets SIGBUS. */
  pageMkwrite?(inode: InodeRef, index: number, pfn: Pfn): boolean;
  /** Keeps what a page, locked and clean from here on, contains. */
  writePage?(inode: InodeRef, index: number, pfn: Pfn): void;
}

const MEMORY: FileType = { name: "memory" };

export class FileTypes {
  private readonly types: FileType[] = [MEMORY];

  /** The number of a new type; of one that this CPU knows by its name, its number. */
  register(type: FileType): number {
    const known = this.types.findIndex(({ name }) => name === type.name);
    if (known > 0) this.types[known] = type;
    return known > 0 ? known : this.types.push(type) - 1;
  }

  of(number: number): FileType {
    return this.types[number] ?? bug(`file type ${number} is not registered on this CPU`);
  }
}
