/** The project's own rules, read from its text: layers, sizes, names, reserved calls, words.  Data: architecture/layers.ts. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { causeViolations } from "./architecture/causes.ts";
import { codeModules, packageDependencies, textFiles } from "./architecture/files.ts";
import * as rules from "./architecture/violations.ts";
import { FORBIDDEN } from "./architecture/words.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const files = textFiles();
const modules = codeModules(files);
const dependencies = packageDependencies();

describe("architecture", () => {
  test("every folder of src has a row in the table of layers", () => {
    expect(modules.flatMap(rules.folderViolations)).toEqual([]);
  });

  test("imports point down", () => {
    expect(modules.flatMap((module) => rules.importViolations(module, dependencies))).toEqual([]);
  });

  test("every exception to the layers is used", () => {
    expect(rules.staleExceptions(modules)).toEqual([]);
  });

  test("modules do not import each other in circles", () => {
    expect(rules.cycleViolations(modules)).toEqual([]);
  });

  test("modules are small and have few exports", () => {
    expect(modules.flatMap(rules.sizeViolations)).toEqual([]);
  });

  test("modules have telling names and named exports", () => {
    expect(modules.flatMap(rules.nameViolations)).toEqual([]);
  });

  test("time, chance, shared memory and BigInt stay where they belong", () => {
    expect(modules.flatMap(rules.reservedViolations)).toEqual([]);
  });

  test("the simulated machine knows causes, not experiments", () => {
    const workloads = files.flatMap(({ path }) => /^src\/workloads\/(\w+-[\w-]+)\.ts$/.exec(path)?.[1] ?? []);
    expect(workloads).toContain("page-bulk");
    expect(files.flatMap((file) => causeViolations(file, workloads))).toEqual([]);
  });

  test("every test runs", () => {
    expect(modules.flatMap(rules.skipViolations)).toEqual([]);
  });

  test("no file holds a forbidden word", () => {
    const found = files.flatMap(({ path, text }) =>
      text
        .split("\n")
        .flatMap((line, index) =>
          FORBIDDEN.filter(({ pattern }) => pattern.test(line)).map(
            ({ pattern, why }) => `${path}:${index + 1} "${pattern.exec(line)?.[0]}": ${why}`,
          ),
        ),
    );
    expect(found).toEqual([]);
  });

  test("links in the documents lead to files", () => {
    const found = files
      .filter(({ path }) => path.endsWith(".md"))
      .flatMap(({ path, text }) =>
        [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
          .map(([, target]) => target)
          .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(path), target)))
          .map((target) => `${path} links to ${target}, which is not there`),
      );
    expect(found).toEqual([]);
  });
});
