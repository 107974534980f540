/** A spinlock in RAM: four words, whatever the kind of lock.  All zero is a free lock without a class. */

import { struct, word } from "../memory/struct.ts";

export const SpinLock = struct("spinlock", {
  /** The lock itself; each kind says what is in it. */
  value: word("atomic"),
  /** pv: 1 + CPU of the halted head; ticket: the ticket now served; custom: the user's second word. */
  extra: word("atomic"),
  /** 1 + CPU that holds it, 0 none; written by the holder, read by its own checks and by reports. */
  owner: word("hint:holder"),
  classId: word("hint:holder"),
});
