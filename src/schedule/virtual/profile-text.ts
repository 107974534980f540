/** A profile as a file for people: indented JSON in which innermost lists and objects of numbers take one line. */

import type { Profile } from "./profile.ts";

const INNERMOST = /[[{][^[\]{}]*[\]}]/g;
const HAS_TEXT = /: "/;
const LINE = 90;

export function profileText(profile: Profile): string {
  const text = JSON.stringify(profile, null, 2).replace(INNERMOST, (part) => {
    const line = part.replace(/\s+/g, " ").replace("[ ", "[").replace(" ]", "]");
    return HAS_TEXT.test(part) || line.length > LINE ? part : line;
  });
  return `${text}\n`;
}
