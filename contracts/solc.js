// A native solc's command line, as far as forge uses it, in front of the solcjs from npm.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const args = process.argv.slice(2);

// Imports that forge did not resolve itself are read from the project, and from nowhere else.
function readImport(name) {
  const file = path.resolve(__dirname, name);
  if (!file.startsWith(__dirname + path.sep)) return {error: `${name} lies outside of the project`};
  try {
    return {contents: fs.readFileSync(file, "utf8")};
  } catch (error) {
    return {error: String(error)};
  }
}

if (args.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${solc.version()}`);
} else if (args.includes("--standard-json")) {
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), {import: readImport}));
} else {
  console.error(`solc.js: only --version and --standard-json are known, got: ${args.join(" ")}`);
  process.exit(2);
}
