/** Call stacks as V8 prints them, as functions and places in files. */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

export interface CallFrame {
  /** The function, with its class; "" for one without a name. */
  readonly name: string;
  /** File and line, from the working folder if it lies there. */
  readonly place: string;
}

/** Where the simulator's machinery lies: not the kernel's or the program's code.  Paths are from the root. */
const MACHINERY = /^(src[\\/](schedule|memory|machine)|workers)[\\/]|(^|[\\/])node_modules[\\/]|^node:/;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The frames of kernel and program code in `stack`, innermost first. */
export function framesOf(stack: string): CallFrame[] {
  const frames: CallFrame[] = [];
  for (const line of stack.split("\n")) {
    const match = /^\s*at (?:(?:new |async )?(.*?) \()?(.*?):(\d+):\d+\)?$/.exec(line);
    if (match === null) continue;
    const [, name = "", url, number] = match;
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    const path = shortened(file);
    if (MACHINERY.test(path)) continue;
    frames.push({ name: name.replace(/^Module\.|^Object\./, ""), place: `${path}:${number}` });
  }
  return frames;
}

function shortened(file: string): string {
  if (file.startsWith("node:")) return file;
  const inRoot = relative(ROOT, file);
  return inRoot.startsWith("..") ? file : inRoot;
}
