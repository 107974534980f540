/** Wrong command lines: exit code 2, one message that says what is valid, no stack, nothing on stdout. */
import { describe, expect, test } from "vitest";
import { COUNTER, smpsim } from "../../support/cli.ts";
import { emptyFolder, writeText } from "../../support/folder.ts";

async function refused(args: readonly string[], message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await smpsim(...args);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^smpsim: /);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
}

describe.concurrent("a wrong command line is refused", () => {
  test.each<[string[], RegExp]>([
    [["bnech"], /there is no command "bnech" \(did you mean bench\?\); valid are .*bench, run, stress/],
    [["bench"], /missing required argument 'workload'; see smpsim bench --help/],
    [["bench", "a", "b"], /too many arguments/],
    [
      ["bench", COUNTER, "--cpu", "1"],
      /unknown option '--cpu' \(did you mean --cpus\?\); valid are --cpus, /,
    ],
    [["bench", COUNTER, "--memory"], /option '--memory <size>' argument missing/],
    [
      ["bench", COUNTER, "--mode", "virtual", "--seconds", "20"],
      /seconds: 20 is not valid; valid are 0.00001 to 10 of simulated time/,
    ],
    [
      ["bench", COUNTER, "--mode", "explore"],
      /--mode: "explore" is not valid; valid are parallel and virtual/,
    ],
    [["bench", COUNTER, "--profile", "xeon-gold-5320"], /profile: needs simulated time, .*--mode virtual/],
    [["bench", COUNTER, "--set", "mode=explore"], /mode: "explore" is not valid here; .*smpsim explore/],
    [["bench", COUNTER, "--cpus", "0"], /--cpus: "0" is not valid; valid are counts from 1 to 256/],
    [["bench", COUNTER, "--cpus", "4-1"], /--cpus: "4-1" is not valid/],
    [["bench", COUNTER, "--cpus", "1,,2"], /--cpus: "1,,2" is not valid/],
    [["bench", COUNTER, "--seconds", "0"], /seconds: 0 is not valid; valid are 0.01 to 3600/],
    [
      ["bench", COUNTER, "--repeats", "1.5"],
      /--repeats: "1.5" is not valid; valid are whole numbers from 1 to 100/,
    ],
    [
      ["bench", COUNTER, "--seed", "-1"],
      /--seed: "-1" is not valid; valid are whole numbers from 0 to 4294967295/,
    ],
    [
      ["bench", COUNTER, "--tokens", "some"],
      /--tokens: "some" is not valid; valid are 1 to 256, cores and free/,
    ],
    [["bench", COUNTER, "--json", "--csv"], /--json and --csv: valid is one of the two/],
    [["bench", COUNTER, "--seconds", "1", "--operations", "5"], /--seconds and --operations: valid is one/],
    [["bench", COUNTER, "--fail-if-slower"], /need --baseline/],
    [["bench", COUNTER, "--set", "torn"], /--set: "torn" is not valid; write key=value/],
    [["bench", COUNTER, "--set", "lock=mcs"], /lock: "mcs" is not valid; valid are tas, ticket, queued, pv/],
    [["bench", COUNTER, "--set", "lock=./none.ts"], /lock: there is no file .*none.ts/],
    [["bench", COUNTER, "--nodes", "3", "--set", "sockets=2"], /nodes: 3 cannot be split over 2 sockets/],
    [
      ["bench", "page-bulk", "--compare", "ordr=1,2"],
      /--compare: there is no key "ordr" \(did you mean order\?\)/,
    ],
    [["bench", COUNTER, "--compare", "pageLists=off"], /--compare: .* two or more different values/],
    [["bench", COUNTER, "--memory", "9GiB"], /memory: 9GiB is not valid; valid are multiples of 4KiB/],
    [["bench", COUNTER, "--baseline", "none.json"], /--baseline: none.json cannot be read/],
    [["bench", "./none.ts"], /there is no file .*none.ts/],
    [["bench", "no-such-workload"], /there is no workload "no-such-workload"/],
    [["stress", COUNTER, "--seconds", "x"], /--seconds: "x" is not valid/],
    [
      ["boot", "--preset", "tinny"],
      /--preset: there is no "tinny" \(did you mean tiny\?\); valid are\n {2}tiny: /,
    ],
    [["boot", "--set", "lokc=tas"], /there is no key "lokc" \(did you mean lock\?\); valid are\n {2}mode: /],
  ])("%j", (args, message) => refused(args, message));

  test("a configuration file with a wrong key, and one that is no JSON", async () => {
    const folder = emptyFolder();
    const wrong = writeText(folder, "wrong.json", '{"cpu": 4}');
    await refused(["boot", "--config", wrong], /unknown key "cpu" \(did you mean cpus\?\); valid are cpus, /);
    const list = writeText(folder, "list.json", "[1]");
    await refused(["boot", "--config", list], /must hold an object with the keys cpus/);
    await refused(["boot", "--config", writeText(folder, "no.json", "{")], /cannot be read as JSON/);
  });
});
