// Takes each mechanism of mutations.json away, and expects a unit test to fail. No file is touched:
// the change is made as the tests load it. `npm run mutations`, or with numbers or guards to choose.

import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { startVitest } from "vitest/node";

const mutations = JSON.parse(readFileSync(new URL("mutations.json", import.meta.url), "utf8"));
const chosen = process.argv.slice(2);

/** Vite's plugin that makes the edits of one mutation; each text must be there exactly once. */
function mutating({ file, edits }) {
  return {
    name: "mutating",
    enforce: "pre",
    transform(code, id) {
      if (relative(process.cwd(), id) !== file) return undefined;
      return edits.reduce((text, [from, to]) => replaceOnly(text, from, to), code);
    },
  };
}

function replaceOnly(text, from, to) {
  const [before, after, ...more] = text.split(from);
  if (after === undefined || more.length > 0) throw new Error(`not there exactly once: ${from}`);
  return before + to + after;
}

/** The tests that fail with a mutation; throws when it breaks more than tests. */
async function failures(mutation) {
  const silent = { onInit: () => undefined };
  const options = { watch: false, bail: 1, reporters: [silent], related: [mutation.file] };
  const vitest = await startVitest("test", [], options, { plugins: [mutating(mutation)] });
  const modules = vitest.state.getTestModules();
  await vitest.close();
  const broken = modules.flatMap((module) => module.errors());
  if (broken.length > 0) throw new Error(`${mutation.what}: ${broken[0].message}`);
  const tests = modules.flatMap((module) => [...module.children.allTests("failed")]);
  return tests.map((test) => test.fullName);
}

let survivors = 0;
for (const [index, mutation] of mutations.entries()) {
  const name = `${index + 1}`;
  const isChosen = chosen.includes(name) || chosen.includes(`guard-${mutation.guard}`);
  if (chosen.length > 0 && !isChosen) continue;
  const failed = await failures(mutation);
  if (failed.length === 0) survivors++;
  const label = mutation.guard === null ? "" : `guard ${mutation.guard}: `;
  console.log(`${name}. ${label}${mutation.what}: ${failed[0] ?? "NO TEST FAILED"}`);
}
process.exitCode = survivors > 0 ? 1 : 0;
console.log(survivors === 0 ? "each is missed by a test" : `${survivors} are missed by no test`);
