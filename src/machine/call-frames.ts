/** Call stacks as V8 prints them, as functions and places in files. */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

export interface CallFrame {
  /** The function, with its class; "" for one without a name. */
  readonly name: string;
  /** File and line, from the working folder if it lies there. */
  readonly place: string;
}

/** Frames that are the simulator's machinery, not the kernel's or the program's code. */
const MACHINERY = [
  /[\\/]src[\\/](schedule|memory|machine)[\\/]/,
  /[\\/]workers[\\/]/,
  /node_modules/,
  /^node:/,
];
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The frames of kernel and program code in `stack`, innermost first. */
export function framesOf(stack: string): CallFrame[] {
  const frames: CallFrame[] = [];
  for (const line of stack.split("\n")) {
    const match = /^\s*at (?:(?:new |async )?(.*?) \()?(.*?):(\d+):\d+\)?$/.exec(line);
    if (match === null) continue;
    const [, name = "", url, number] = match;
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    if (MACHINERY.some((pattern) => pattern.test(file))) continue;
    frames.push({ name: name.replace(/^Module\.|^Object\./, ""), place: `${shortened(file)}:${number}` });
  }
  return frames;
}

function shortened(file: string): string {
  const inRoot = relative(ROOT, file);
  return inRoot.startsWith("..") ? file : inRoot;
}
