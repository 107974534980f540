/**
 * Words that no file of the project may hold.  The patterns are put together from pieces, so that this file does not
 * match itself.
 */

export interface Forbidden {
  pattern: RegExp;
  why: string;
}

const words = (...pieces: string[][]) => pieces.map((piece) => piece.join("")).join("|");

export const FORBIDDEN: readonly Forbidden[] = [
  {
    pattern: new RegExp(`\\b(${words(["FIX", "ME"], ["TO", "DO"], ["XX", "X"], ["HA", "CK"])})\\b`),
    why: "work that is left over: do it, or write it into docs/LIMITS.md",
  },
  {
    pattern: new RegExp(words(["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/\\w"], ["\\.\\./sha", "red/"])),
    why: "a path of one machine",
  },
  { pattern: new RegExp(words(["registry\\", ".\\w"], ["npm", "rc\\b"])), why: "a package registry" },
  {
    pattern: new RegExp(
      `\\b(${words(
        ["cla", "ude"],
        ["anthr", "opic"],
        ["chat", "gpt"],
        ["open", "ai"],
        ["copi", "lot"],
        ["language ", "model"],
        ["ai[- ]", "(assist|generat)\\w*"],
        ["(this|my|a|the) ", "session"],
        ["iss", "ue #?\\d"],
      )})\\b`,
      "i",
    ),
    why: "how the text was made is not part of it",
  },
];
