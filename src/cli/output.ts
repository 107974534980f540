/**
 * Where words go: results to stdout, progress and remarks to stderr, so that `--json` and `--csv` can be piped.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { jsonOf } from "../experiment/report-file.ts";
import { UsageError } from "../memory/bug.ts";

export const print = (text: string): void =>
  void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);

export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** The one JSON document of a command. */
export const printJson = (value: unknown): void => print(jsonOf(value));

/** Writes a file of the user's choice, its folder included; a place that cannot be written is the user's error. */
export function writeResult(path: string, text: string): void {
  try {
    mkdirSync(dirname(resolve(path)), { recursive: true });
    writeFileSync(path, text);
  } catch (error) {
    throw new UsageError(`${path} cannot be written: ${(error as Error).message}`);
  }
}

/** Everything written so far has left this process.  A reader that went away (`| head`) is no error. */
export async function flushed(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) => new Promise<void>((done) => void stream.write("", () => done())),
    ),
  );
}

/** Ends quietly when the reader of a pipe has gone. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      throw error;
    });
  }
}
