#!/bin/sh
# The compiler for forge. There is no native solc to be had from npm, so this runs solcjs, under forge's two ways of
# calling a compiler: `--version`, and `--standard-json` (with paths that only a native solc needs).
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
exec node "$here/solc.js" "$@"
