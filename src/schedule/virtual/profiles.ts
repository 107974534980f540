/**
 * The profiles that smpsim ships, and how one's own is read.
 */

import { readFileSync } from "node:fs";
import { UsageError } from "../../memory/bug.ts";
import { didYouMean } from "../../memory/nearest.ts";
import type { Profile } from "./profile.ts";
import { validateProfile } from "./profile-check.ts";
import epyc2s from "./profiles/epyc-7763-2s-nps4.json" with { type: "json" };
import ryzen from "./profiles/ryzen-5950x.json" with { type: "json" };
import xeon2s from "./profiles/xeon-8375c-2s.json" with { type: "json" };
import xeon from "./profiles/xeon-gold-5320.json" with { type: "json" };

const SHIPPED: readonly Profile[] = [xeon, xeon2s, epyc2s, ryzen].map((profile) =>
  validateProfile(profile, profile.name),
);

export const DEFAULT_PROFILE = "xeon-gold-5320";

export function profileNames(): string[] {
  return SHIPPED.map((profile) => profile.name);
}

/** A shipped profile by name, or the file of one's own.  Throws UsageError. */
export function loadProfile(name: string): Profile {
  const shipped = SHIPPED.find((profile) => profile.name === name);
  if (shipped !== undefined) return shipped;
  if (!name.endsWith(".json"))
    throw new UsageError(
      `profile: "${name}" is not valid${didYouMean(name, profileNames())}; valid are ${profileNames().join(", ")}, or a path to a .json file`,
    );
  let text: string;
  try {
    text = readFileSync(name, "utf8");
  } catch (error) {
    throw new UsageError(`profile: cannot read ${name}: ${(error as Error).message}`);
  }
  try {
    return validateProfile(JSON.parse(text), name);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`profile: ${name} is no JSON: ${(error as Error).message}`);
  }
}
