#!/bin/sh
# Everything that `make contracts` does: packages, format, build, artifacts, tests, gas.
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
# On Linux on x86-64 Foundry comes from npm as well; elsewhere it has to be installed by hand.
forge=node_modules/@foundry-rs/forge-linux-amd64/bin/forge
[ -x "$forge" ] || forge=$(command -v forge) || {
    echo "contracts: forge not found: install Foundry (https://getfoundry.sh)" >&2
    exit 1
}
$forge fmt --check
$forge build
"${PYTHON:-python3}" artifacts.py
$forge test
# What the promised limits cost, within 2 % of what is written down; `forge snapshot --match-contract GasTest` rewrites it.
$forge snapshot --match-contract GasTest --check --tolerance 2
