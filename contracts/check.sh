#!/bin/sh
# Everything that `make contracts` does: packages, format, build, artifacts, tests.
# Without node there is nothing to do here: the committed artifacts are what Python uses.
set -eu
cd "$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "contracts: node and npm not found, so Solidity is neither rebuilt nor tested" >&2
    exit 0
fi
# npm ci empties node_modules first; where the lock file has not changed there is nothing to fetch.
if ! cmp -s package-lock.json node_modules/.lock-installed; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.lock-installed
fi
forge=node_modules/.bin/forge
$forge fmt --check
$forge build
"${PYTHON:-python3}" artifacts.py
$forge test
