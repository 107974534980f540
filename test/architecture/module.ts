/** One parsed TypeScript module: what it imports, exports and names, with line numbers. */

import { type ESTree, parseSync, Visitor } from "vite";

export interface Import {
  from: string;
  line: number;
  /** Nothing of it is left when the types are stripped. */
  typeOnly: boolean;
}

/** An identifier, or a member such as `Math.random` or `test.only`, written with its object. */
export interface Use {
  name: string;
  line: number;
}

export interface Module {
  /** From the root of the project, with forward slashes. */
  path: string;
  lines: number;
  imports: Import[];
  /** Names of exported values; types do not count. `export *` counts as the name `*`. */
  exports: string[];
  uses: Use[];
}

export function parseModule(path: string, text: string): Module {
  const { program, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  const lineAt = lineCounter(text);
  const imports: Import[] = module.staticImports.map((statement) => ({
    from: statement.moduleRequest.value,
    line: lineAt(statement.start),
    typeOnly: statement.entries.length > 0 && statement.entries.every((entry) => entry.isType),
  }));
  const exports = new Set<string>();
  for (const entry of module.staticExports.flatMap((statement) => statement.entries)) {
    if (!entry.isType) exports.add(entry.exportName.name ?? (entry.moduleRequest ? "*" : "default"));
    if (!entry.moduleRequest) continue;
    imports.push({ from: entry.moduleRequest.value, line: lineAt(entry.start), typeOnly: entry.isType });
  }
  const uses: Use[] = [];
  collect(program, lineAt, imports, uses);
  return { path, lines: countLines(text), imports, exports: [...exports], uses };
}

function collect(
  program: ESTree.Program,
  lineAt: (at: number) => number,
  imports: Import[],
  uses: Use[],
): void {
  new Visitor({
    ImportExpression({ source, start }) {
      const from = literalText(source);
      // A module named at run time is a user's file.
      if (from !== null) imports.push({ from, line: lineAt(start), typeOnly: false });
    },
    TSImportType({ source, start }) {
      imports.push({ from: source.value, line: lineAt(start), typeOnly: true });
    },
    Identifier({ name, start }) {
      uses.push({ name, line: lineAt(start) });
    },
    MemberExpression(node) {
      const name = memberName(node);
      if (name !== null) uses.push({ name, line: lineAt(node.start) });
    },
    Literal(node) {
      if ("bigint" in node) uses.push({ name: "BigInt", line: lineAt(node.start) });
    },
    TSBigIntKeyword({ start }) {
      uses.push({ name: "BigInt", line: lineAt(start) });
    },
  }).visit(program);
}

function literalText(node: ESTree.Expression): string | null {
  if (node.type === "Literal" && typeof node.value === "string") return node.value;
  if (node.type === "TemplateLiteral" && node.expressions.length === 0) return node.quasis[0].value.cooked;
  return null;
}

/** `a.b` and `a["b"]` of a plain name; calls in between (`test.each(rows).only`) keep the first name. */
function memberName(node: ESTree.MemberExpression): string | null {
  const { object, property } = node;
  const last = property.type === "Identifier" ? property.name : literalText(property as ESTree.Expression);
  const first = firstName(object);
  return first === null || last === null ? null : `${first}.${last}`;
}

function firstName(node: ESTree.Expression | ESTree.Super): string | null {
  if (node.type === "Identifier") return node.name;
  if (node.type === "MemberExpression") return firstName(node.object);
  if (node.type === "CallExpression") return firstName(node.callee);
  return null;
}

function countLines(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

function lineCounter(text: string): (at: number) => number {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (at) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= at) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
