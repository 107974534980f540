/** A type of files whose pages are kept outside of the simulated machine when they are cleaned, and read from there. */

import type { Kernel } from "../../src/machine/kernel.ts";
import { FRAME_WORDS, frameOf } from "../../src/memory/units.ts";
import type { FileType } from "../../src/process/file-types.ts";

export class KeptFiles {
  /** Pages by index, of one file. */
  readonly kept = new Map<number, Int32Array>();
  readonly log: string[] = [];
  /** What the next calls answer. */
  mayRead = true;
  mayWrite = true;
  readonly type: number;

  constructor(kernel: Kernel) {
    const { memory } = kernel;
    const type: FileType = {
      name: "kept",
      readPage: (_inode, index, pfn) => {
        this.log.push(`read ${index}`);
        const words = this.kept.get(index);
        if (words !== undefined)
          for (let i = 0; i < FRAME_WORDS; i++) memory.write(frameOf(pfn) + i, words[i]);
        return this.mayRead;
      },
      pageMkwrite: (_inode, index) => {
        this.log.push(`mkwrite ${index}`);
        return this.mayWrite;
      },
      writePage: (_inode, index, pfn) => {
        this.log.push(`write ${index}`);
        const words = new Int32Array(FRAME_WORDS);
        for (let i = 0; i < FRAME_WORDS; i++) words[i] = memory.read(frameOf(pfn) + i);
        this.kept.set(index, words);
      },
    };
    this.type = kernel.processes.files.types.register(type);
  }

  takeLog(): string[] {
    return this.log.splice(0);
  }
}
