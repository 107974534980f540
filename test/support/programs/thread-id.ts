/** Each CPU returns the id of its host thread. */
import { threadId } from "node:worker_threads";

export function run(): number {
  return threadId;
}
