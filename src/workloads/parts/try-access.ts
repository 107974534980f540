/** Accesses of programs that may be refused. */

import { UserSignal } from "../../process/user-signal.ts";

/** The code of the SIGSEGV that `access` gets, or null when it is allowed. */
export function refusalOf(access: () => void): string | null {
  try {
    access();
    return null;
  } catch (error) {
    if (!(error instanceof UserSignal) || error.signal !== "SEGV") throw error;
    return error.code;
  }
}
