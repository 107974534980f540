/**
 * The lock of a single page: who holds it may bring the page into a file or take it out.
 *
 * A bit of the page's flags; who must wait does so in one of a few queues that all pages share, and leaves WAITERS behind.
 *
 * Linux: mm/filemap.c folio_lock, folio_unlock, folio_wait_table.  Differs: a release wakes all waiters of its queue.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, struct, wordsIn } from "../memory/struct.ts";
import type { Pfn, Pointer } from "../memory/units.ts";
import type { Frames } from "../mm/pages/frames.ts";
import { Page } from "../mm/pages/page.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { WaitQueueHead, type WaitQueues } from "../sync/wait-queue.ts";

/** A power of two. */
const QUEUES = 16;
const Globals = struct("folio_wait_table", { queues: embed(WaitQueueHead, "atomic", QUEUES) });
const QUEUE_WORDS = wordsIn(WaitQueueHead);
const flagsField = Page.flags;

export class PageLocks {
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly queues: WaitQueues;
  declare private readonly at: Pointer;

  constructor(frames: Frames, queues: WaitQueues, slot: Slot) {
    this.memory = frames.memory;
    this.frames = frames;
    this.queues = queues;
    this.at = slot.address;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("folio_wait_table", Globals);
  }

  /** Before the first page is locked. */
  format(): void {
    for (let i = 0; i < QUEUES; i++) this.queues.format(this.at + Globals.queues + i * QUEUE_WORDS);
  }

  /** Linux: folio_trylock. */
  tryLock(pfn: Pfn): boolean {
    return (this.memory.or(this.frames.pageOf(pfn) + flagsField, PageFlag.LOCKED) & PageFlag.LOCKED) === 0;
  }

  /** Linux: folio_lock.  @may-sleep */
  lock(pfn: Pfn): void {
    if (this.tryLock(pfn)) return;
    const flags = this.frames.pageOf(pfn) + flagsField;
    this.queues.waitEvent(this.queueOf(pfn), () => {
      // First the mark, then the look: the holder's release sees one of the two.
      this.memory.or(flags, PageFlag.WAITERS);
      return this.tryLock(pfn);
    });
  }

  /** Linux: folio_unlock. */
  unlock(pfn: Pfn): void {
    const { memory } = this;
    const flags = this.frames.pageOf(pfn) + flagsField;
    const before = memory.and(flags, ~PageFlag.LOCKED);
    if ((before & PageFlag.LOCKED) === 0) bug(`unlock of frame ${pfn}, which is not locked`);
    if ((before & PageFlag.WAITERS) === 0) return;
    memory.and(flags, ~PageFlag.WAITERS);
    this.queues.wakeAll(this.queueOf(pfn));
  }

  private queueOf(pfn: Pfn): Pointer {
    return this.at + Globals.queues + (pfn & (QUEUES - 1)) * QUEUE_WORDS;
  }
}
