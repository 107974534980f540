/**
 * Writes the profiles that follow from the fitted one anew: `node bench/calibration/derive-profiles.ts`, after a fit.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { profileText } from "../../src/schedule/virtual/profile-text.ts";
import { DEFAULT_PROFILE, loadProfile } from "../../src/schedule/virtual/profiles.ts";
import { derivedProfile, MEASURED } from "./derived-profile.ts";

for (const [name, measured] of Object.entries(MEASURED)) {
  const file = fileURLToPath(new URL(`../../src/schedule/virtual/profiles/${name}.json`, import.meta.url));
  const text = profileText(derivedProfile(loadProfile(name), loadProfile(DEFAULT_PROFILE), measured));
  if (readFileSync(file, "utf8") !== text) console.log(`${name} has changed`);
  writeFileSync(file, text);
}
