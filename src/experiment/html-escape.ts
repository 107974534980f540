/** Text into HTML. */

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** `text` for element content and quoted attributes; control characters, which HTML has no place for, are replaced. */
export function escapeHtml(text: string): string {
  return Array.from(text, (c) => (c < " " && !"\n\t".includes(c) ? "\ufffd" : (ENTITIES[c] ?? c))).join("");
}
