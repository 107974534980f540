/** Files of the host that a program reads: recordings to replay. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { UsageError } from "../memory/bug.ts";

/** The text of a file.  Throws UsageError when it cannot be read. */
export function hostText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`the file ${resolve(path)} cannot be read: ${(error as Error).message}`);
  }
}
