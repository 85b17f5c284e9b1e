#!/bin/sh
# Installs the contracts' toolchain from the npm registry and links the native programs into contracts/.bin/.
#
# Not node_modules/.bin: the launchers that npm puts there always exit 0, so a failing `forge test` would look green.
# Exit codes: 0 done, 7 this machine lacks something (the message says what, why and what to try).
set -eu

EXIT_SETUP=7
OLDEST_NODE=20
TOOLS="anvil cast forge"
FOUNDRY=1.7.1 # as in package.json

stop() {
  printf '%s\n' "contracts/tools/setup.sh: $1" "  why:  $2" "  try:  $3" >&2
  exit "$EXIT_SETUP"
}

[ "$(uname -s)" = Linux ] || stop "this system ($(uname -s)) is not supported" \
  "the packages of Foundry that the lock file names are built for Linux" \
  "a Linux machine, a Linux container, or WSL 2"

case "$(uname -m)" in
  x86_64 | amd64) platform=linux-amd64 ;;
  aarch64 | arm64) platform=linux-arm64 ;;
  *) stop "this processor ($(uname -m)) is not supported" \
    "Foundry is published for x86-64 and 64-bit ARM only" "a machine with one of these" ;;
esac

command -v node >/dev/null 2>&1 || stop "Node.js is missing" \
  "the Solidity compiler runs on it (npm package solc)" "install Node.js $OLDEST_NODE or later, e.g. apt-get install nodejs npm"
command -v npm >/dev/null 2>&1 || stop "npm is missing" \
  "compiler, test runner and base contracts are npm packages" "install npm, e.g. apt-get install npm"

found=$(node --version)
major=${found#v}
major=${major%%.*}
[ "$major" -ge "$OLDEST_NODE" ] || stop "Node.js $found is too old" \
  "the toolchain needs version $OLDEST_NODE or later" "install a newer Node.js and put it first on PATH"

cd "$(dirname "$0")/.."
# --ignore-scripts: nothing here needs an install script, so none may run.
npm ci --ignore-scripts --no-audit --no-fund || stop "npm ci failed" \
  "see npm's message above; mostly the registry cannot be reached" "npm ping, then npm config get registry"

if [ "$platform" = linux-arm64 ]; then
  # Published, but not in the lock file: npm records checksums only of packages that it fetched when the lock was made.
  arm_packages=""
  for tool in $TOOLS; do arm_packages="$arm_packages @foundry-rs/$tool-$platform@$FOUNDRY"; done
  # shellcheck disable=SC2086 # the list is meant to be split
  npm install --no-save --ignore-scripts --no-audit --no-fund $arm_packages || stop "Foundry for 64-bit ARM is missing" \
    "the npm registry in use does not carry$arm_packages" "the public npm registry, or an x86-64 machine"
fi

mkdir -p .bin
for tool in $TOOLS; do
  program="node_modules/@foundry-rs/$tool-$platform/bin/$tool"
  [ -x "$program" ] || stop "$program is missing after npm ci" \
    "npm leaves out optional packages that it cannot fetch" "npm cache verify, then run this script again"
  ln -sfn "../$program" ".bin/$tool"
done
ln -sfn ../tools/solc .bin/solc

.bin/forge --version >/dev/null || stop ".bin/forge does not start" \
  "the binary needs glibc 2.31 or later (musl systems such as Alpine lack it)" "a Debian or Ubuntu image"
.bin/solc --version >/dev/null || stop ".bin/solc does not start" \
  "Node.js could not load the package solc" "node contracts/tools/solc --version shows the reason"

echo "contracts: $(.bin/forge --version | head -n 1), $(.bin/solc --version | tail -n 1)"
